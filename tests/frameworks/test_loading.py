import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras as keras
from tensorflow.python.trackable.resource import CapturableResource

import keras_spp as spp
from keras_spp.frameworks.tf_keras.loading import load_model
from keras_spp.frameworks.tf_keras.op_rules import registry
from keras_spp.frameworks.tf_keras.trust import _COMPUTES
from tests.helpers.sentences import assert_one_sentence
from tests.helpers.states import assert_same_state
from tests.helpers.training import compiled, conv_net, fit, prune, sgd, state
from tests.zoo.models import L, random_model, random_probabilities, relative_error

FORMATS = ["m.keras", "m.h5", "m"]


def net():
    x = keras.Input((4,))
    return keras.Model(x, tf.math.add(L.Dense(4, activation="relu", name="dense")(x), 1.0))


def layer(config, kind):
    return next(entry for entry in config["config"]["layers"] if entry["class_name"] == kind)


def write_file(config):
    """A function of TensorFlow, called while the model is put together."""
    entry = layer(config, "TFOpLambda")
    entry["config"]["function"] = "io.write_file"
    entry["inbound_nodes"] = [["_CONSTANT_VALUE", -1, "owned", {"contents": ""}]]


def python_function(config, module="os", name="system"):
    """A Lambda that refers to a function instead of holding one."""
    entry = layer(config, "TFOpLambda")
    function = {"class_name": "function", "module": module, "config": name}
    entry |= {"class_name": "Lambda", "module": "keras.layers", "registered_name": None}
    entry["config"] = {
        "name": "calls",
        "function": {**function, "registered_name": name},
        "function_type": "function",
        "output_shape": None,
        "output_shape_type": "raw",
        "arguments": {},
    }
    entry["inbound_nodes"] = [["_CONSTANT_VALUE", -1, "touch owned", {}]]


def module(config):
    """A module to import: what lies in the working folder is enough."""
    Path("brought_along.py").write_text("open('owned', 'w')\n")
    entry = {"class_name": "Mine", "module": "brought_along", "registered_name": "Mine"}
    config.update(entry)


def imported_by_keras(config):
    """What a module of tf_keras has imported is found under the module's name."""
    python_function(config, "tf_keras.src.utils.data_utils", "os.system")


def renamed(path, source, change, other=...):
    """Copies a .keras file with its configuration changed, or with another one."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                config = json.loads(content)
                change(config)
                content = json.dumps(config if other is ... else other).encode()
            new.writestr(name, content)


def owned():
    """Whether code of a file has run, once."""
    found = Path("owned").exists()
    Path("owned").unlink(missing_ok=True)
    return found


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


def refused(path, *parts):
    with pytest.raises(ValueError) as error:
        load_model(path)
    message = assert_one_sentence(error)
    assert not owned(), f"loading {path} has run its code"
    for part in (repr(str(path)), "--allow-code", *parts):
        assert part in message


@pytest.mark.parametrize(
    "attack, named",
    [
        (write_file, "tf.io.write_file"),
        (python_function, "Lambda"),
        (module, "'brought_along'"),
        (imported_by_keras, "Lambda"),
    ],
)
def test_a_configuration_that_runs_code_is_refused_before_it_runs(attack, named):
    net().save("plain.keras")
    renamed("evil.keras", "plain.keras", attack)
    refused("evil.keras", named)
    # The attack is one: what safe mode alone does with it.
    with pytest.raises(Exception):  # noqa: B017
        keras.models.load_model("evil.keras", compile=False, safe_mode=True)
    assert owned()


@pytest.mark.parametrize("format", FORMATS)
def test_a_lambda_needs_permission(format):
    touch = L.Lambda(lambda x: (__import__("pathlib").Path("owned").touch(), x)[1], name="touch")
    model = keras.Sequential([keras.Input((4,)), touch])
    assert owned()
    model.save(format)
    owned()
    refused(format, "'touch' is a Lambda")
    load_model(format, allow_code=True)(np.ones((1, 4)))
    assert owned()


def test_the_configuration_in_a_h5_file_is_checked_too():
    net().save("evil.h5")
    with h5py.File("evil.h5", "r+") as file:
        config = json.loads(file.attrs["model_config"])
        write_file(config)
        file.attrs["model_config"] = json.dumps(config)
    refused("evil.h5", "tf.io.write_file")


def test_a_file_of_two_formats_is_checked_in_both():
    net().save("zip.keras")
    net().save("both.h5")
    with h5py.File("both.h5", "r+") as file:
        config = json.loads(file.attrs["model_config"])
        write_file(config)
        file.attrs["model_config"] = json.dumps(config)
    with open("both.h5", "ab") as file:
        file.write(Path("zip.keras").read_bytes())
    assert zipfile.is_zipfile("both.h5") and h5py.is_hdf5("both.h5")
    refused("both.h5", "tf.io.write_file")


class _Resource(CapturableResource):
    """Runs a graph when a SavedModel is loaded."""

    def __init__(self, run):
        super().__init__()
        self._run = run

    def _create_resource(self):
        return tf.raw_ops.MutableHashTableV2(key_dtype=tf.string, value_dtype=tf.string)

    def _initialize(self):
        self._run()


@pytest.mark.parametrize(
    "run, named",
    [
        (lambda: tf.io.write_file("owned", ""), "WriteFile"),
        (lambda: tf.no_op(), "resource"),
    ],
)
def test_a_saved_model_that_runs_its_graph_on_loading_is_refused(run, named):
    model = net()
    model.resource = _Resource(run)
    model.save("saved")
    owned()
    refused("saved", named)
    if named == "WriteFile":
        keras.models.load_model("saved", compile=False)
        assert owned()


def test_every_function_that_has_a_rule_is_known_to_compute():
    assert [name for name in registry.FUNCTIONS if not _COMPUTES.fullmatch(name)] == []


@pytest.mark.parametrize(
    "name",
    ["io.gfile.rmtree", "load_op_library", "py_function", "numpy_function", "raw_ops.WriteFile",
     "keras.models.load_model", "keras.utils.get_file", "compat.v1.py_func", "io.read_file",
     "compat.v1.gfile.Remove", "saved_model.load", "summary.create_file_writer", "print"],
)  # fmt: skip
def test_no_function_that_reaches_out_is_known_to_compute(name):
    assert not _COMPUTES.fullmatch(name)


def test_what_harmless_models_consist_of_is_loaded(tmp_path):
    """Layers, functions, a model from `prune` and one that is trained for quantization."""
    pruned = spp.prune(random_model(17, 3), pruning_ratio=0.5, round_to=1)
    random_probabilities(pruned, settled=True)
    quantized = tfmot.quantization.keras.quantize_model(
        keras.Sequential([keras.Input((8, 8, 3)), L.Conv2D(4, 3), L.Flatten(), L.Dense(3)])
    )
    for number, model in enumerate((random_model(11, 4), pruned, quantized)):
        path = tmp_path / ("m.h5" if model is quantized else "m.keras")
        model.save(path)
        with tfmot.quantization.keras.quantize_scope():
            assert relative_error(model, load_model(path)) == 0, number


def test_a_path_may_hold_spaces_and_any_letters():
    folder = Path("größe 模型 # %20")
    folder.mkdir()
    net().save(folder / "mein modell ü.keras")
    assert load_model(os.fspath(folder / "mein modell ü.keras")).count_params() == 20


class Odd:
    """A path that is made of bytes."""

    def __fspath__(self):
        return b"m.keras"


@pytest.mark.parametrize(
    ("path", "kind", "said"),
    [
        (b"m.keras", TypeError, "b'm.keras'"),
        (Odd(), TypeError, "Odd object"),
        (7, TypeError, "is 7"),
        (None, TypeError, "is None"),
        (["m.keras"], TypeError, r"is \['m.keras'\]"),
        (io.BytesIO(b"a"), TypeError, "BytesIO object"),
        ("", ValueError, "is ''"),
        ("m\0.keras", FileNotFoundError, r"'m\\x00.keras' does not exist"),
        ("a" * 300, FileNotFoundError, "does not exist"),
    ],
)
@pytest.mark.parametrize("allow_code", [False, True])
def test_what_is_no_path_is_said_in_a_sentence(path, kind, said, allow_code):
    net().save("m.keras")
    with pytest.raises(kind, match=rf"`path` must .*{said}") as error:
        load_model(path, allow_code=allow_code)
    assert_one_sentence(error, 450)


ADAM = {"module": "keras.optimizers", "class_name": "Adam", "config": {}, "registered_name": None}
DENSE = {"module": "keras.layers", "class_name": "Dense", "config": {"units": 2}}


@pytest.mark.parametrize(
    "config", [[], [1], 3, 2.5, "Dense", None, True, {}, {"a": 1}, ADAM, DENSE, {"class_name": 3}],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("name", ["m.keras", "m.h5"])
@pytest.mark.parametrize("allow_code", [False, True])
def test_a_file_that_describes_no_model_is_no_model(config, name, allow_code):
    """Whatever tf_keras makes of it: it may well return it."""
    net().save(name)
    if name == "m.keras":
        renamed("other.keras", name, lambda _: None, config)
        name = "other.keras"
    else:
        with h5py.File(name, "r+") as file:
            file.attrs["model_config"] = json.dumps(config)
    with pytest.raises(ValueError, match=rf"`path` is '{name}', which is not a model") as error:
        load_model(name, allow_code=allow_code)
    assert_one_sentence(error, 600)


def test_a_saved_model_that_is_none_of_keras_is_no_model():
    tf.saved_model.save(tf.Module(), "m")
    with pytest.raises(ValueError, match="which is not a model") as error:
        load_model("m")
    assert_one_sentence(error)


def test_a_file_that_claims_to_be_of_keras_3_is_not_loaded_for_that():
    net().save("plain.keras")
    renamed("evil.keras", "plain.keras", write_file)
    with zipfile.ZipFile("evil.keras", "a") as archive, pytest.warns(UserWarning, match="Dupl"):
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.1.0"}))
    with pytest.raises(ValueError, match="saved by Keras 3") as error:
        load_model("evil.keras")
    assert_one_sentence(error)
    assert not owned()


# --- pruned, unfinished models ---


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An unfinished model in three formats."""
    path = tmp_path_factory.mktemp("saved")
    keras.utils.set_random_seed(0)
    pruned = compiled(prune(), sgd(momentum=0.9))
    fit(pruned, 3)
    for suffix in (".keras", ".h5", ""):
        pruned.save(path / f"model{suffix}")
    return path


def test_it_loads_what_keras_loads(folder):
    loaded = spp.load_model(folder / "model.keras")
    assert_same_state(state(loaded), state(keras.models.load_model(folder / "model.keras")))
    assert spp.load_model(str(folder / "model.h5"), compile=False).optimizer is None


@pytest.mark.parametrize("name", ["cut.keras", "cut.h5", "text.keras", "text.h5", "text"])
def test_what_is_no_whole_model_is_named(folder, tmp_path, name):
    content = b"This is not a model.\n"
    if name.startswith("cut"):
        whole = (folder / name.replace("cut", "model")).read_bytes()
        content = whole[: len(whole) // 2]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError) as error:
        spp.load_model(path)
    message = assert_one_sentence(error, 600)
    assert repr(str(path)) in message and "take an earlier one" in message


def test_a_missing_model_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"'none\.keras' does not exist") as error:
        spp.load_model("none.keras")
    assert_one_sentence(error)


PROGRAM = """
import sys, numpy as np, tf_keras as keras
x, y = np.ones((8, 6, 6, 3)), np.ones((8, 4))
for name in ("model.keras", "model.h5", "model"):
    try:
        model = keras.models.load_model(name)
        np.save("predicted.npy", model.predict(x, verbose=0))
        model.compile("sgd", "mse")
        model.fit(x, y, verbose=0)
        print("@@ is trained")
    except Exception as error:
        print("@@" + type(error).__name__, error)
(finished,) = (weight for weight in model.weights if weight.name.endswith("finished:0"))
finished.assign(1)
model.fit(x, y, verbose=0)
print("@@ is trained")
assert "keras_spp" not in sys.modules
"""


def test_what_a_program_hears_that_has_not_imported_keras_spp(folder):
    """No code of this package runs there. What tf_keras says is quoted in docs/how-to/resume.md."""
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=folder,
        env={**os.environ, "TF_USE_LEGACY_KERAS": "1"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    native, h5, unfinished, finished = result.stdout.strip().split("@@")[-4:]
    assert native.startswith("TypeError 'str' object is not callable")
    assert h5.startswith("ValueError Unknown layer: 'keras_spp>PruneSPP'.")
    assert "This SavedModel is pruned but not finished" in unfinished
    assert "import keras_spp before keras.models.load_model" in unfinished
    assert finished == " is trained"
    expected = spp.load_model(folder / "model").predict(np.ones((8, 6, 6, 3)), verbose=0)
    np.testing.assert_allclose(np.load(folder / "predicted.npy"), expected, rtol=1e-5, atol=1e-6)


def test_a_model_without_pruning_loads_too(tmp_path):
    compiled(conv_net()).save(tmp_path / "dense.keras")
    assert spp.load_model(tmp_path / "dense.keras").count_params() == conv_net().count_params()
