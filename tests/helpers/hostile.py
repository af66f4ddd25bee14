"""Model files whose configuration was changed at any place, in the three formats."""

import copy
import json
import shutil
import zipfile
from pathlib import Path

import h5py
import tensorflow as tf
import tf_keras as keras
from tf_keras.protobuf.saved_metadata_pb2 import SavedMetadata

import keras_spp as spp
from tests.zoo.models import L

FORMATS = ["m.keras", "m.h5", "m"]


def model():
    """A small compiled model with objects of every kind."""
    x = keras.Input((3, 2))
    cell = L.RNN(L.SimpleRNNCell(2, recurrent_initializer="orthogonal"))
    y = L.Bidirectional(cell)(x)
    dense = L.Dense(
        2,
        activation="gelu",
        kernel_initializer=keras.initializers.HeNormal(seed=1),
        kernel_regularizer=keras.regularizers.L2(1e-4),
        bias_constraint=keras.constraints.NonNeg(),
        dtype=keras.mixed_precision.Policy("float32"),
    )
    z = L.Flatten()(L.TimeDistributed(dense)(x))
    z = keras.Sequential([keras.Input((6,)), L.Dense(4, "relu")])(z)
    built = keras.Model(x, tf.math.add(y, z))
    rate = keras.optimizers.schedules.CosineDecay(0.1, 10)
    loss, metrics = keras.losses.Huber(), ["mse", keras.metrics.MeanAbsoluteError()]
    built.compile(keras.optimizers.Adam(rate), loss, metrics=metrics)
    return built


def pruned():
    """Wrapped layers with a schedule."""
    layers = [keras.Input((4, 4, 1)), L.Conv2D(8, 3), L.Flatten(), L.Dense(2)]
    built = spp.prune(keras.Sequential(layers), pruning_ratio=0.5, round_to=1)
    built.compile("sgd", "mse")
    return built


def places(tree, path=()):
    """The paths of all values in a configuration."""
    yield path
    if isinstance(tree, dict | list):
        for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from places(value, (*path, key))


def at(tree, path):
    """The value at a path."""
    for key in path:
        tree = tree[key]
    return tree


def changed(tree, path, value):
    """A copy of a configuration with another value at a path."""
    if not path:
        return value
    tree = copy.deepcopy(tree)
    at(tree, path[:-1])[path[-1]] = value
    return tree


class File:
    """A saved model whose configurations can be read and written."""

    def __init__(self, built, path):
        self.path = Path(path)
        built.save(self.path)
        self._source = self.path.with_name(f"source_{self.path.name}")
        shutil.move(self.path, self._source)
        if self.path.suffix == "":
            shutil.copytree(self._source, self.path)
        self.configs = self._read()

    def write(self, number, config):
        """Writes the file anew with one of its configurations changed."""
        configs = [*self.configs]
        configs[number] = config
        texts = [json.dumps(config) for config in configs]
        if self.path.suffix == ".keras":
            with zipfile.ZipFile(self._source) as old, zipfile.ZipFile(self.path, "w") as new:
                for name in old.namelist():
                    new.writestr(name, texts[0] if name == "config.json" else old.read(name))
        elif self.path.suffix == ".h5":
            shutil.copy(self._source, self.path)
            with h5py.File(self.path, "r+") as file:
                for name, text in zip(self._names, texts, strict=True):
                    file.attrs[name] = text
        else:
            metadata = SavedMetadata()
            metadata.CopyFrom(self._metadata)
            for node, text in zip(metadata.nodes, texts, strict=True):
                node.metadata = text
            (self.path / "keras_metadata.pb").write_bytes(metadata.SerializeToString())
        return self.path

    def _read(self):
        if self.path.suffix == ".keras":
            with zipfile.ZipFile(self._source) as archive:
                return [json.loads(archive.read("config.json"))]
        if self.path.suffix == ".h5":
            self._names = ("model_config", "training_config")
            with h5py.File(self._source) as file:
                return [json.loads(file.attrs[name]) for name in self._names]
        content = (self._source / "keras_metadata.pb").read_bytes()
        self._metadata = SavedMetadata.FromString(content)
        return [json.loads(node.metadata) for node in self._metadata.nodes]


# A module that is to be seen when it is imported, and when its functions are called. By the second
# name keras_spp would be imported if it were written into a file as a module.
SOURCE = """
from pathlib import Path
Path("owned_by_import").touch()
def act(*arguments, **options):
    Path("owned_by_call").touch()
    return arguments[0] if arguments else None
sigmoid = relu = get = act
class Mine:
    def __init__(self, *arguments, **options):
        Path("owned_by_class").touch()
    from_config = classmethod(lambda cls, *arguments, **options: cls())
    act = staticmethod(act)
"""
BROUGHT = ("came_along", "tf_keras_spp")


def bring_along(folder=Path()):
    """Writes modules into a folder that are importable from there."""
    for name in BROUGHT:
        (folder / f"{name}.py").write_text(SOURCE)
    (folder / "package").mkdir()
    (folder / "package" / "__init__.py").write_text(SOURCE)
    (folder / "package" / "inner.py").write_text(SOURCE)


MODULES = [
    *("came_along", "keras_spp", "package", "package.inner", "os", "subprocess", "shutil"),
    *("builtins", "sys", "importlib", "pathlib", "webbrowser", "this", "tf_keras.src.losses"),
    *("keras.utils", "tf_keras.utils", "keras.models", "keras.layers", "keras.activations"),
    *("tensorflow", "tensorflow.io", "numpy", "h5py", "tf_keras.src.utils.data_utils"),
    *("keras_spp.util.files", "tensorflow.python.ops.gen_io_ops", None, "", ".came_along", 3),
]
NAMES = [
    *("act", "Mine", "Mine.act", "function", "__lambda__", "__typespec__", "system", "Popen"),
    *("rmtree", "eval", "exec", "open", "Path", "os.system", "import_module", "get_file"),
    *("load_model", "File", "WriteFile", "write_file", "_write_to_zip", "Lambda", "TFOpLambda"),
    *("SlicingOpLambda", "ClassMethod", "TensorFlowOpLayer", "ModuleWrapper", "ReloadedLayer"),
    *("Dense", "relu", "sigmoid", "get", "deserialize", "deserialize_keras_object", "Functional"),
    *("keras_spp>PruneSPP", "SGD", "Mean", "StringLookup", "ResidualWrapper", "tf", "np", None),
]
CONFIGS = [
    *({}, None, [], "touch owned_by_shell", {"function": "io.write_file", "name": "writes"}),
    {"filepath": "owned_by_path", "name": "reads", "vocabulary": "came_along.py"},
    {"fn": "act", "name": "act"},
    {"function": "act", "function_type": "function", "module": "came_along", "arguments": {}},
    {"function": ["4wAA", None, None], "function_type": "lambda", "module": "came_along"},
    {"cls_ref": "io.gfile.GFile", "method_name": "write", "name": "calls"},
]


# Names that are registered, or that tf_keras has in its tables: what hides another look-up.
DECOYS = ["keras_spp>PruneSPP", "keras_spp>SPPSchedule", "relu", "sigmoid", "get", "Dense", None]


def entry(random):
    """An object as a configuration describes it, of names that do more than compute."""

    def one(values):
        return values[random.integers(len(values))]

    if random.random() < 0.6:  # one that tf_keras would find, somewhere
        described = {"module": one(MODULES[:5]), "class_name": one(NAMES[:4]), "config": {}}
        if described["class_name"] not in ("Mine", "Mine.act"):
            described |= {"class_name": "function", "config": one(["act", "sigmoid", "system"])}
        name = one([*DECOYS, "act", "Mine"])
        return {**described, "registered_name": name} if random.random() < 0.9 else described
    config = one(NAMES) if random.random() < 0.5 else copy.deepcopy(one(CONFIGS))
    described = {"module": one(MODULES), "class_name": one(NAMES), "config": config}
    if random.random() < 0.8:
        described["registered_name"] = one(NAMES)
    if random.random() < 0.1:
        described |= {"class_name": "__typespec__", "spec_name": one(NAMES)}
    if random.random() < 0.1:
        described["shared_object_id"] = 1
    if random.random() < 0.1:
        described = {"class_name": "__tuple__", "items": [described]}
    return described


def mutated(tree, random):
    """A copy of a configuration with a change or two of values, names or structure."""
    for _ in range(random.integers(1, 3)):
        found = list(places(tree))
        objects = [path for path in found if isinstance(at(tree, path), dict)]
        named = [path for path in objects if "class_name" in at(tree, path)]
        path = found[random.integers(len(found))]
        kind = random.integers(8)
        if kind > 5 and named:  # an object becomes another
            tree = changed(tree, named[random.integers(len(named))], entry(random))
        elif kind in (0, 6, 7) or not objects:  # anything does
            tree = changed(tree, path, entry(random))
        elif kind == 1:  # an object gets keys of another
            path = objects[random.integers(len(objects))]
            tree = changed(tree, path, {**at(tree, path), **entry(random)})
        elif kind == 2:  # or one of them
            path = objects[random.integers(len(objects))]
            new = list(entry(random).items())
            key, value = new[random.integers(len(new))]
            tree = changed(tree, path, {**at(tree, path), key: value})
        elif kind == 3:  # a name is replaced
            names = [path for path in found if isinstance(at(tree, path), str)]
            path = names[random.integers(len(names))] if names else path
            tree = changed(tree, path, NAMES[random.integers(len(NAMES))])
        elif kind == 4:  # a part is put in another place
            tree = changed(tree, path, at(tree, found[random.integers(len(found))]))
        else:  # an object is added where none was
            path = objects[random.integers(len(objects))]
            keys = ("compile_config", "build_config", "activation", "dtype", "loss", "config", "0")
            key = keys[random.integers(len(keys))]
            tree = changed(tree, path, {**at(tree, path), key: entry(random)})
    return tree
