"""The command that does it all."""

import json

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import keras_spp as spp
from keras_spp.frameworks.tensorflow.photos import scaled
from keras_spp.frameworks.tf_keras.photos import images_in
from tests.helpers.commands import fails, succeeds


@pytest.fixture
def many(tmp_path):
    coarse = np.random.default_rng(0).normal(size=(64, 4, 4, 3)).astype("float32")
    x = tf.image.resize(coarse, (12, 12)).numpy()
    np.save(tmp_path / "x.npy", x)
    return x


@pytest.fixture
def photos(tmp_path, many):
    for number, image in enumerate(many[:40]):
        path = tmp_path / "photos" / f"class{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.clip(128 + 40 * image, 0, 255).astype("uint8")
        path.write_bytes(tf.io.encode_png(pixels).numpy())
    return tmp_path / "photos"


def test_a_file_of_samples_is_enough(run, plain, many, tmp_path):
    out = succeeds(run("compress", "{folder}/plain.keras", "small.keras", "--data", "x.npy"))
    small = keras.models.load_model(tmp_path / "small.keras", compile=False)
    expected = spp.compress(plain, many, verbose=0)
    for weight, other in zip(small.weights, expected.weights, strict=True):
        np.testing.assert_array_equal(weight, other)
    assert spp.analyze(plain).macs >= 2 * spp.analyze(small).macs
    assert "the same class" in out and "second" in out


def test_it_exports_and_times_with_the_same_samples(run, many, tmp_path):
    arguments = (
        "compress", "{folder}/plain.keras", "small.h5", "--data", "x.npy", "--ratio", 0.5,
        "--round-to", 4, "--tflite", "small.tflite", "--benchmark",
    )  # fmt: skip
    assert "small" in succeeds(run(*arguments))
    result = json.loads(succeeds(run(*arguments, "--quantization", "int8", "--json")))
    assert len(result["benchmark"]["rows"]) == 2
    assert result["speedup"] > 2 and result["outputs"][0]["agreement"] >= 0
    assert spp.read_metadata(tmp_path / "small.tflite")["quantization"] == "int8"
    assert spp.read_metadata(tmp_path / "small.tflite")["pruned"]["speedup"] > 2


def test_a_folder_of_images_serves_whatever_its_classes_are(run, plain, photos, tmp_path):
    arguments = ("compress", "{folder}/plain.keras", "small.keras", "--data", photos)
    succeeds(run(*arguments, "--pixels=-1..1", "--samples", 32, "--ratio", 0.5))
    batches = images_in(photos, plain, "-1..1", 32)
    assert sum(map(len, batches)) == 32
    assert -1 <= min(batch.min() for batch in batches) < max(batch.max() for batch in batches) <= 1
    assert (tmp_path / "small.keras").exists()


def test_pixels_are_what_the_model_takes():
    image = np.array([[[0.0, 127.5, 255.0]]])
    assert scaled(image, "0..1").ravel().tolist() == [0, 0.5, 1]
    expected = [(0 - 0.485) / 0.229, (0.5 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    np.testing.assert_allclose(scaled(image, "imagenet").ravel(), expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["small.tflite", "--data", "x.npy"], "OUT must end in .keras or .h5"),
        (["small.keras", "--data", "y.npy"], "does not exist"),
        (["small.keras", "--data", "no such set"], "no file, no folder and no dataset"),
        (["small.keras", "--data", "empty"], "holds no images"),
        (["small.keras", "--data", "x.npy", "--benchmark"], "need --tflite"),
        (["small.keras", "--data", "x.npy", "--speedup", "2", "--ratio", "0.5"], "exclude each"),
        (["small.keras", "--data", "x.npy", "--speedup", "1000"], "largest that this model"),
        (["{folder}/plain.keras", "--data", "x.npy"], "MODEL"),
        (["small.keras", "--data", "x.npy", "--samples", "0"], "`samples` must be an integer"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_nothing_is_written(
    run, many, tmp_path, arguments, message
):
    (tmp_path / "empty").mkdir()
    fails(run("compress", "{folder}/plain.keras", *arguments), message)
    assert not (tmp_path / "small.keras").exists()
