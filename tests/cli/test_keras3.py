"""The same commands on files of Keras 3, which are known by what is in them."""

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_spp as spp
from keras_spp import frameworks
from tests.helpers.commands import fails, succeeds
from tests.zoo.keras3_models import L, outputs, randomize

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def net():
    x = image = keras.Input((12, 12, 3))
    x = L.Conv2D(32, 3, activation="relu", name="first")(x)
    x = L.GlobalAveragePooling2D()(L.Conv2D(32, 3, activation="relu", name="second")(x))
    return randomize(keras.Model(image, L.Dense(4)(x), name="net"))


@pytest.fixture
def files(net, tmp_path):
    """A model in both formats, and samples."""
    for name in ("net.keras", "net.h5"):
        frameworks.of(net).save(net, tmp_path / name)
    coarse = np.random.default_rng(0).normal(size=(64, 4, 4, 3)).astype("float32")
    x = tf.image.resize(coarse, (12, 12)).numpy()
    np.save(tmp_path / "x.npy", x)
    return x


@pytest.mark.usefixtures("files")
def test_analyze_reads_every_format(run, net):
    expected = spp.analyze(net).to_dict()
    for name in ("net.keras", "net.h5"):
        assert json.loads(succeeds(run("analyze", name, "--json"))) == expected


@pytest.mark.usefixtures("warm_quantizer")
def test_what_is_exported_is_what_the_function_exports(run, net, files, tmp_path):
    succeeds(run("export", "net.keras", "m.tflite"))
    report = spp.export_tflite(net, tmp_path / "same.tflite")
    assert (tmp_path / "m.tflite").stat().st_size == report.bytes
    printed = succeeds(
        run("export", "net.h5", "m.tflite", "--quantization=int8", "--representative-data=x.npy",
            "--input-type=uint8", "--original=net.keras")
    )  # fmt: skip
    assert "(1, 12, 12, 3) uint8, " in printed
    result = json.loads(succeeds(run("parity", "net.keras", "m.tflite", "x.npy", "--json")))
    assert result == spp.parity(net, tmp_path / "m.tflite", files).to_dict() | {"path": "m.tflite"}
    assert result["rows"][0]["mean_difference"] < 0.05 * result["rows"][0]["largest"]


@pytest.mark.usefixtures("warm_quantizer")
def test_compress_goes_from_a_file_to_a_timed_file_of_integers(run, net, files, tmp_path):
    arguments = (
        "compress", "net.keras", "small.keras", "--data", "x.npy", "--round-to", 4,
        "--tflite", "small.tflite", "--quantization", "int8", "--benchmark",
    )  # fmt: skip
    result = json.loads(succeeds(run(*arguments, "--json")))
    assert len(result["benchmark"]["rows"]) == 2 and result["speedup"] >= 2
    small = keras.saving.load_model(tmp_path / "small.keras")
    assert spp.analyze(net).macs >= 2 * spp.analyze(small).macs
    (row,) = spp.parity(small, tmp_path / "small.tflite", files)
    assert row.mean_difference < 0.1 * row.largest
    said = spp.read_metadata(tmp_path / "small.tflite")
    assert said["quantization"] == "int8" and said["pruned"]["speedup"] >= 2


@pytest.mark.usefixtures("files")
def test_a_folder_of_images_serves(run, net, tmp_path):
    for number in range(40):
        path = tmp_path / "photos" / f"class{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 255, (16, 12, 3)).astype("uint8")
        path.write_bytes(tf.io.encode_png(pixels).numpy())
    succeeds(
        run("compress", "net.keras", "small.h5", "--data=photos", "--pixels=-1..1", "--ratio=0.5")
    )
    small = frameworks.of_file(tmp_path / "small.h5").load(tmp_path / "small.h5")
    assert isinstance(small, keras.Model)
    batches = frameworks.of(net).images_in(tmp_path / "photos", net, "-1..1", 32)
    assert [batch.shape for batch in batches] == [(32, 12, 12, 3)]
    assert outputs(small, batches[0])[0].shape == (32, 4)


def test_code_in_a_file_needs_permission(run, tmp_path):
    touch = L.Lambda(lambda x: (__import__("pathlib").Path("owned").touch(), x)[1])
    model = keras.Sequential([keras.Input((4,)), L.Dense(4), touch])
    model.save("lambda.keras")
    (tmp_path / "owned").unlink()
    fails(run("analyze", "lambda.keras"), "'lambda.keras'", "--allow-code")
    assert not (tmp_path / "owned").exists()
    succeeds(run("analyze", "lambda.keras", "--allow-code"))
    assert (tmp_path / "owned").exists()


CUSTOM = """
import keras

@keras.saving.register_keras_serializable(package="custom_for_cli")
class Thrice(keras.layers.Layer):
    def call(self, x):
        return 3 * x
"""


def test_layers_of_ones_own_come_from_a_module(run, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_of_keras_3.py").write_text(CUSTOM)
    import own_of_keras_3

    keras.Sequential([keras.Input((4,)), L.Dense(4), own_of_keras_3.Thrice()]).save("own.keras")
    monkeypatch.setitem(sys.modules, "own_of_keras_3", None)
    monkeypatch.delitem(sys.modules, "own_of_keras_3")
    monkeypatch.delitem(keras.saving.get_custom_objects(), "custom_for_cli>Thrice")
    fails(run("analyze", "own.keras"), "'own.keras'", "--import")
    succeeds(run("analyze", "own.keras", "--import", "own_of_keras_3"))


@pytest.mark.parametrize("name", ["cut.keras", "cut.h5"])
def test_a_truncated_file_is_named(run, net, tmp_path, name):
    net.save(tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    fails(run("analyze", name), repr(name), "not a model")


@pytest.mark.usefixtures("files")
def test_nothing_of_tf_keras_is_imported(tmp_path):
    program = (
        "import sys; from keras_spp.cli import main\n"
        "main(['compress', 'net.keras', 'small.keras', '--data', 'x.npy', '--round-to', '4',\n"
        "      '--tflite', 'm.tflite', '--json'], standalone_mode=False)\n"
        "names = {name.partition('.')[0] for name in sys.modules}\n"
        "assert not names & {'tf_keras', 'tensorflow_model_optimization'}, names\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(ROOT), "PATH": "", "TF_CPP_MIN_LOG_LEVEL": "2"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["tflite"]["path"] == "m.tflite"
