"""Files of models that cannot be read, and the command itself."""

import json
import subprocess
import sys
import zipfile

import pytest
import tf_keras as keras

import keras_spp as spp
from tests.helpers.commands import fails, succeeds
from tests.zoo.models import L

# --- reading models ---


@pytest.mark.parametrize("command", ["analyze", "shrink", "export"])
def test_a_missing_model_is_named(run, command):
    out = {"shrink": ["out.keras"], "export": ["out.tflite"]}.get(command, [])
    fails(run(command, "missing.keras", *out), "'missing.keras' does not exist")


@pytest.mark.parametrize("name", ["text.keras", "text.h5", "text"])
def test_a_file_that_is_no_model_is_named(run, tmp_path, name):
    (tmp_path / name).write_text("This is not a model.\n")
    fails(run("analyze", name), repr(name), "not a model")


@pytest.mark.parametrize("name", ["cut.keras", "cut.h5"])
def test_a_truncated_model_is_named(run, plain, tmp_path, name):
    plain.save(tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    fails(run("analyze", name), repr(name), "not a model")


def test_a_folder_that_is_no_saved_model_is_named(run, tmp_path):
    (tmp_path / "empty").mkdir()
    fails(run("analyze", "empty"), "'empty'", "not a model")


def test_a_model_saved_by_keras_3_is_called_that(run, tmp_path):
    with zipfile.ZipFile(tmp_path / "new.keras", "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.10.0"}))
        archive.writestr("config.json", json.dumps({"class_name": "InputLayer", "config": {}}))
    fails(run("analyze", "new.keras"), "'new.keras'", "Keras 3")


@pytest.mark.parametrize("name", ["lambda.keras", "lambda.h5", "lambda"])
def test_code_in_a_model_file_is_never_run(run, tmp_path, name):
    # The code of a lambda travels in the file, its globals do not.
    touch = L.Lambda(lambda x: (__import__("pathlib").Path("owned").touch(), x)[1])
    model = keras.Sequential([keras.Input((4,)), L.Dense(4), touch])
    assert (tmp_path / "owned").exists()
    model.save(tmp_path / name)
    (tmp_path / "owned").unlink(missing_ok=True)
    result = run("analyze", name)
    assert not (tmp_path / "owned").exists()
    if name != "lambda":  # of a SavedModel the traced graph is used, without the code
        fails(result, repr(name), "Lambda")


CUSTOM = """
import tf_keras as keras

@keras.saving.register_keras_serializable(package="custom_for_cli")
class Doubled(keras.layers.Layer):
    def call(self, x):
        return 2 * x
"""


def test_import_makes_custom_layers_known(run, tmp_path):
    (tmp_path / "custom_for_cli.py").write_text(CUSTOM)
    write = (
        "import custom_for_cli, tf_keras as keras; x = keras.Input((4,));"
        "keras.Model(x, custom_for_cli.Doubled()(keras.layers.Dense(3)(x))).save('c.keras')"
    )
    subprocess.run([sys.executable, "-c", write], cwd=tmp_path, check=True, capture_output=True)
    fails(run("analyze", "c.keras"), "'c.keras'", "--import")
    assert "model output" in succeeds(run("analyze", "c.keras", "--import", "custom_for_cli"))


def test_a_module_that_cannot_be_imported_is_named(run):
    fails(run("analyze", "{folder}/plain.keras", "--import", "no_such_module"), "no_such_module")


# --- the command itself ---


def test_the_version_is_shown(run):
    assert spp.__version__ in succeeds(run("--version"))


def test_errors_of_programming_are_not_disguised(run, monkeypatch):
    def broken(model, **options):
        raise KeyError("bug")

    monkeypatch.setattr(spp, "analyze", broken)
    assert isinstance(run("analyze", "{folder}/plain.keras").exception, KeyError)
