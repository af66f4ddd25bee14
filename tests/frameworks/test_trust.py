"""What a configuration may name, and what not, wherever it stands."""

import re
import sys
import types

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from tensorflow.python.util import tf_export

from keras_spp.frameworks.tf_keras.loading import load_model
from keras_spp.frameworks.tf_keras.trust import (
    _COMPUTES,
    _KERAS_COMPUTES,
    Untrusted,
    _tables,
    check_config,
)
from tests.helpers.hostile import FORMATS, bring_along
from tests.helpers.sentences import assert_one_sentence
from tests.zoo.models import L

PUBLIC = {
    name: symbol
    for name, symbol in tf_export._NAME_TO_SYMBOL_MAPPING.items()
    if name.startswith("keras.") and callable(symbol)
}


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    bring_along()
    yield
    for name in ("came_along", "package", "package.inner"):
        sys.modules.pop(name, None)


def described(name, module, registered_name=None, **more):
    return dict(module=module, class_name=name, config={}, registered_name=registered_name, **more)


def function(name, module, registered_name=None):
    return described("function", module, registered_name) | {"config": name}


def allows(entry, modules=()):
    try:
        check_config(entry, modules)
    except Untrusted:
        return False
    return True


def refused(entry, *parts, modules=()):
    """Checks that an object is refused wherever it stands, and nothing imported for it."""
    known = set(sys.modules)
    dense = {"class_name": "Dense", "config": {"activation": entry}}
    for config in (entry, [entry], dense, {"compile_config": {"loss": [{"a": entry}]}}):
        with pytest.raises(Untrusted) as error:
            check_config(config, modules)
        assert all(part in str(error.value) for part in parts), str(error.value)
    assert set(sys.modules) == known


def public(name):
    module, _, last = name.rpartition(".")
    is_function = isinstance(PUBLIC[name], types.FunctionType)
    return (function if is_function else described)(last, module)


def test_of_all_that_keras_makes_public_nothing_but_kinds_that_compute_may_be_named():
    """None of what downloads, reads, writes, loads or logs, and no function that makes objects."""
    allowed = {name for name in PUBLIC if allows(public(name))}
    classes = {name for name in allowed if isinstance(PUBLIC[name], type)}
    makes = r"keras\.(callbacks|datasets|applications|saving|export|estimator|wrappers|backend)"
    assert not [name for name in allowed if re.match(makes, name)]
    scaling = keras.mixed_precision.LossScaleOptimizer  # stands for two classes
    assert {PUBLIC[name] for name in classes if not hasattr(PUBLIC[name], "get_config")} == {
        scaling
    }
    spaces = {name.rpartition(".")[0] for name in allowed - classes}
    of_functions = {f"keras.{space}" for space in ("activations", "losses", "metrics")}
    assert spaces == of_functions | {"keras.regularizers", "keras.layers", "keras"}
    for name in ("utils.get_file", "models.load_model", "utils.plot_model", "backend.clear_session",
                 "preprocessing.image.save_img", "layers.Lambda", "layers.deserialize",
                 "callbacks.CSVLogger", "utils.SidecarEvaluator"):  # fmt: skip
        assert f"keras.{name}" not in allowed, name


def test_every_public_layer_optimizer_and_the_like_may_be_named():
    spaces = r"keras\.(layers|metrics|losses|initializers|regularizers|constraints|optimizers)"
    named = {
        name
        for name, symbol in PUBLIC.items()
        if re.match(spaces + r"(\.\w+)*\.\w+", name)
        and isinstance(symbol, type)
        and hasattr(symbol, "from_config")
    }
    assert len(named) > 300
    assert {name for name in named if not allows(public(name))} == {"keras.layers.Lambda"}


def test_no_table_of_keras_holds_a_name_that_does_something_when_called_with_tensors():
    """Names that stand alone, as in `activation="relu"`, are looked up there by tf_keras itself."""
    left = set()
    for table in _tables():
        for name, found in table.items():
            is_kind = isinstance(found, type) and allows({"class_name": name, "config": {}})
            if callable(found) and not is_kind and not isinstance(found, types.ModuleType):
                left.add((name, getattr(found, "__module__", "")))
    # What remains is Lambda and its like, which lack their arguments, and functions of Keras.
    strange = {
        (name, module)
        for name, module in left
        if not module.startswith(("tf_keras.", "tensorflow_model_optimization."))
        and not module.startswith("tensorflow.python.ops.nn_")
    }
    assert strange == {("keras_export", "functools")}
    assert not {"get_file", "load_model", "import_module"} & {name for name, _ in left}


DECOYS = [None, "keras_spp>PruneSPP", "relu", "act", "Mine", "sigmoid"]


@pytest.mark.parametrize("decoy", DECOYS)
@pytest.mark.parametrize("module", ["came_along", "package.inner", "no.such"])
def test_functions_and_classes_of_other_modules_are_refused_whatever_hides_them(module, decoy):
    for name in ("act", "join", "Mine.act", "os.system"):
        refused(function(name, module, decoy), repr(name), repr(module))
    if decoy != "keras_spp>PruneSPP":  # by this name tf_keras finds PruneSPP, and nothing else
        refused(described("Mine", module, decoy), "'Mine'", repr(module))
    spec = described("__typespec__", module, decoy if decoy != DECOYS[1] else None)
    refused({**spec, "spec_name": "Mine"}, "'Mine'")


def test_a_registered_class_is_found_by_its_name_alone_wherever_it_was_once_defined():
    check_config(described("PruneSPP", "no.such.module", "keras_spp>PruneSPP"))


def test_keras_spp_as_a_module_would_be_tf_keras_spp():
    """tf_keras puts tf_ before all that starts with keras; such a file lies in the folder."""
    refused(function("act", "keras_spp"), "'keras_spp'")


@pytest.mark.parametrize(
    "entry",
    [
        function("eval", "builtins"),
        function("open", "builtins"),
        function("get_file", "keras.utils", "get_file"),
        function("load_model", "keras.models"),
        function("import_module", "importlib"),
        function("join", "os.path", "keras_spp>PruneSPP"),
        function("system", "os", "relu"),
        function("relu", "webbrowser", "get"),
        described("Popen", "subprocess"),
        described("get_file", "tf_keras.utils"),
        described("ReloadedLayer", "tf_keras.src.export.export_lib"),
        described("ModuleWrapper", "tf_keras.src.engine.functional"),
        described("os", "tf_keras.src.utils.data_utils"),
        described("deserialize_keras_object", None),
        {"class_name": "deserialize_keras_object", "config": {}},
        {"class_name": "tf", "config": {}},
        {"class_name": b"Lambda", "config": {"name": "a"}},
        {"class_name": "__lambda__", "config": {"value": ["4wAA", None, None]}},
        {"class_name": "ClassMethod", "config": {"cls_ref": "io.gfile.GFile"}},
        {"class_name": "InstanceMethod", "config": {"attr_name": "eval"}},
        {"class_name": "TFOpLambda", "config": {"function": "io.write_file"}},
        {"class_name": "SlicingOpLambda", "config": {"function": "py_function"}},
        {"class_name": "TFOpLambda", "config": {"function": ["io.write_file"]}},
        {"class_name": "ResidualWrapper", "config": {"residual_fn": "act"}},
        {"class_name": "StringLookup", "config": {"name": "a", "vocabulary": "/etc/passwd"}},
        {"class_name": "TextVectorization", "config": {"vocabulary": "gs://bucket/words"}},
    ],
    ids=lambda entry: str(entry["class_name"]) + str(entry["config"])[:30],
)
def test_what_reaches_out_by_a_name_of_its_own_is_refused(entry):
    refused(entry)


@pytest.mark.parametrize(
    "name",
    ["random.set_seed", "random.set_global_generator", "keras.backend.clear_session",
     "keras.backend.set_floatx", "keras.backend.print_tensor", "keras.backend.function",
     "io.decode_proto", "io.write_graph", "compat.v1.random.set_random_seed", "config.set_soft"],
)  # fmt: skip
def test_functions_that_change_a_state_or_read_are_not_known_to_compute(name):
    assert not _COMPUTES.fullmatch(name) and not _KERAS_COMPUTES.fullmatch(name)


def test_what_a_given_module_defines_may_be_named_but_not_what_it_has_imported():
    import package.inner

    package.inner.system, package.inner.os = __import__("os").system, __import__("os")
    for modules in (["package"], ["other", "package.inner"]):
        check_config(function("act", "package.inner"), modules)
        check_config(described("Mine", "package.inner"), modules)
        for name in ("system", "os.system", "os"):
            refused(function(name, "package.inner"), repr(name), modules=modules)
    refused(function("act", "package.inner"), "--import", modules=["packa", "inner"])


@keras.saving.register_keras_serializable("trust")
class Shifted(L.Layer):
    def __init__(self, by=1.0, module="encoder", **options):
        super().__init__(**options)
        self.by, self.module = by, module

    def call(self, x):
        return x + self.by

    def get_config(self):
        return {**super().get_config(), "by": self.by, "module": self.module}


@keras.saving.register_keras_serializable("trust")
def shifted_loss(y, z):
    return tf.reduce_mean(tf.square(y - z - 1))


@keras.saving.register_keras_serializable("trust")
class Halved(keras.optimizers.schedules.LearningRateSchedule):
    def __call__(self, step):
        return 0.1 / (1.0 + tf.cast(step, tf.float32))

    def get_config(self):
        return {}


def loads_like_keras(model, name):
    """Saves a model and loads what tf_keras itself can load; returns whether it can."""
    model.save(name)
    try:
        known = keras.models.load_model(name)
    except Exception:
        return False
    loaded = load_model(name)
    assert type(loaded.optimizer) is type(known.optimizer)
    assert type(loaded.loss) is type(known.loss)
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), model.predict(X, verbose=0))
    loaded.fit(X, np.ones((8, 2)), verbose=0)
    return True


X = np.ones((8, 4))
COSINE = keras.optimizers.schedules.CosineDecay(0.1, 10)


@pytest.mark.parametrize(
    ("rate", "loss"),
    [(Halved(), shifted_loss), (COSINE, keras.losses.Huber()), (COSINE, keras.losses.hinge)],
)
def test_what_the_user_has_registered_is_loaded_with_its_training(rate, loss):
    layers = [keras.Input((4,)), Shifted(2.0), L.Dense(2, activation=tf.nn.relu)]
    model = keras.Sequential(layers)
    metrics = ["accuracy", keras.metrics.AUC(name="auc"), keras.metrics.mae]
    model.compile(keras.optimizers.Adam(rate), loss, metrics=metrics)
    # tf_keras itself does not find a schedule of the user's in .h5 files.
    loaded = [loads_like_keras(model, name) for name in FORMATS]
    assert loaded == [True, rate is COSINE, True]


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("optimizer", ["SGD", "AdamW", "legacy.Adam"])
def test_optimizers_are_loaded_with_and_without_loss_scaling(optimizer, scaled):
    *space, kind = optimizer.split(".")
    model = keras.Sequential([keras.Input((4,)), L.Dense(2)])
    made = getattr(keras.optimizers.legacy if space else keras.optimizers, kind)()
    model.compile(keras.mixed_precision.LossScaleOptimizer(made) if scaled else made, "mse")
    # tf_keras itself fails with most of the scaled ones in .keras files.
    loaded = [loads_like_keras(model, name) for name in FORMATS[:2]]
    assert loaded[1] and (loaded[0] or scaled)


LONG = "a.\n" + "b" * 10**5


@pytest.mark.parametrize(
    "entry",
    [
        function(LONG, "os"),
        described(LONG, LONG),
        function({"a": LONG}, "os"),
        {"class_name": "Lambda", "config": {"name": LONG}},
        {"class_name": "TFOpLambda", "config": {"name": LONG, "function": LONG}},
        {"class_name": "StringLookup", "config": {"name": LONG, "vocabulary": LONG}},
    ],
    ids=range(6),
)
def test_names_of_any_length_and_letters_are_quoted_short(entry):
    with pytest.raises(Untrusted) as error:
        check_config(entry)
    assert len(str(error.value)) < 300 and "\n" not in str(error.value)


def test_the_refusal_of_a_file_is_one_sentence_that_names_what_it_names(monkeypatch):
    keras.Sequential([keras.Input((4,)), Shifted()]).save("m.keras")
    monkeypatch.delitem(keras.saving.get_custom_objects(), "trust>Shifted")
    with pytest.raises(
        ValueError, match=r"'Shifted' of the module 'tests.frameworks.test_trust'"
    ) as error:
        load_model("m.keras")
    assert "--import" in assert_one_sentence(error)
