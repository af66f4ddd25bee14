import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_spp as spp
from examples import demo

ROOT = Path(__file__).parents[2]


def run(output, *arguments, keras=3):
    """Runs the demo as a user does; returns what it printed and the results it wrote."""
    command = [sys.executable, ROOT / "examples" / "demo.py", "--output", output, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "KERAS": str(keras)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads((output / "results.json").read_text())


def check(output, printed, results, speedup=2.0):
    dense, small = results["dense"], results["small"]
    assert dense["macs"] / small["macs"] >= speedup
    for name, counts in (("dense", dense), ("small", small)):
        assert (output / f"{name}.tflite").stat().st_size == counts["tflite_bytes"]
        assert counts["tflite_ms"] > 0
    assert results["largest_relative_difference"] < 1e-5
    small_model = spp.load_model(output / "small.keras", compile=False)
    assert small_model.count_params() == small["params"]
    page = (output / "report.html").read_text()
    assert f"{small['top1']:.1%}".replace("%", " %") in page and "MACs speedup by" in page
    assert printed.splitlines()[-1].endswith(str(output / "report.html"))
    table = printed[printed.index("┏") : printed.index("└")]
    for counts in (dense, small):
        for shown in (f"{counts['top1']:.2%}", f"{counts['macs']:,}", f"{counts['params']:,}"):
            assert shown in table


@pytest.mark.slow
@pytest.mark.parametrize("version", [2, 3])
def test_digits_from_training_to_the_table(tmp_path, version):
    printed, results = run(tmp_path / "new" / "folder", "--epochs", "6", keras=version)
    check(tmp_path / "new" / "folder", printed, results)
    assert results["dense"]["top1"] > 0.95 and results["small"]["top1"] > 0.95


@pytest.mark.slow
def test_a_saved_model_on_a_prepared_dataset(tmp_path, data_dir):
    model = data_dir / "models" / "resnet20_cifar10.keras"
    source = ["--dataset", "cifar10", "--data-dir", data_dir, "--model", model]
    printed, results = run(tmp_path, *source, "--epochs", "2", "--steps-per-epoch", "60", keras=2)
    check(tmp_path, printed, results)
    assert results["dense"]["top1"] > 0.85 and results["small"]["top1"] > 0.3


# --- preprocessing ---


def numbered(*shape):
    return tf.constant(np.arange(np.prod(shape), dtype=np.uint8).reshape(shape))


def test_an_image_that_fits_is_not_touched():
    image = numbered(4, 5, 3)
    np.testing.assert_array_equal(demo.fit(image, (4, 5, 3)), image)


def test_an_image_gets_the_size_and_the_channels_of_the_model():
    image = tf.fill([6, 9, 1], tf.constant(200, tf.uint8))
    fitted = demo.fit(image, (4, 4, 3))
    assert fitted.dtype == tf.uint8
    np.testing.assert_array_equal(fitted, np.full((4, 4, 3), 200))


def test_augmentation_moves_by_no_more_than_the_padding():
    image = np.zeros((9, 9, 1), np.uint8)
    image[4, 4] = 1
    found = set()
    for _ in range(100):
        found.add(tuple(np.argwhere(demo.augment(tf.constant(image), False, 1).numpy())[0, :2]))
    assert found == {(row, column) for row in (3, 4, 5) for column in (3, 4, 5)}


def test_augmentation_mirrors_only_if_told_to():
    image = numbered(2, 3, 1)
    mirrored = image.numpy()[:, ::-1].tobytes()
    for flip in (True, False):
        images = {demo.augment(image, flip, 0).numpy().tobytes() for _ in range(30)}
        assert (mirrored in images) == flip
        assert image.numpy().tobytes() in images


def test_normalisation_is_that_of_the_documentation():
    images = tf.constant([[[[0, 51, 255]]]], tf.uint8)
    expected = (np.array([0, 0.2, 1]) - [0.1, 0.2, 0.3]) / [1, 2, 0.5]
    got = demo.normalize(images, [0.1, 0.2, 0.3], [1, 2, 0.5])
    np.testing.assert_allclose(got[0, 0, 0], expected, atol=1e-6)


def test_batches_of_digits_have_the_shape_that_the_model_takes():
    args = demo.parse(["--batch-size", "100"])
    data = demo.load(args, (16, 16, 1))
    images, labels = next(iter(data.train))
    assert images.shape == (100, 16, 16, 1) and images.dtype == tf.float32
    assert set(labels.numpy()) <= set(range(10))
    assert -1 <= np.min(images) < 0 < np.max(images) <= 1
    assert sum(len(labels) for _, labels in data.test) == 450
    assert data.steps == 13 and data.steps * data.epochs >= 750


def test_a_model_without_a_fixed_size_is_refused():
    with pytest.raises(SystemExit, match="images of one size"):
        demo.load(demo.parse([]), (None, None, 3))


@pytest.mark.parametrize("activation", ["linear", "softmax"])
def test_the_loss_follows_what_the_model_ends_in(activation):
    random = np.random.default_rng(0)
    pairs = (random.normal(size=(8, 4)).astype("float32"), random.integers(0, 3, 8))
    batches = tf.data.Dataset.from_tensor_slices(pairs).batch(4)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation)])
    demo.train(model, demo.Data(batches.repeat(), batches, steps=1, epochs=1), 0.1)
    assert model.loss.get_config()["from_logits"] == (activation == "linear")


def test_a_dataset_without_a_model_is_refused(capsys):
    with pytest.raises(SystemExit):
        demo.parse(["--dataset", "cifar10"])
    assert "--dataset and --model need each other" in capsys.readouterr().err
