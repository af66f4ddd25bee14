"""What cannot be loaded is named, here and where nobody has imported keras_spp."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tf_keras as keras
from sentences import assert_one_sentence
from training import assert_same_state, compiled, conv_net, fit, prune, sgd, state

import keras_spp as spp


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
    """No code of this package runs there. What tf_keras says is quoted in docs/resume.md."""
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
