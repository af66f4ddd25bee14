"""The path on a trained ResNet-20 and real images; skipped without KERAS_SPP_DATA."""

import subprocess
import sys

import numpy as np
import pytest
import tf_keras as keras

import keras_spp as spp
from tests.helpers.slow import slow_but


def load(data_dir, split):
    tfds = pytest.importorskip("tensorflow_datasets")
    data = tfds.load("cifar10", data_dir=str(data_dir), split=split, batch_size=-1, download=False)
    x = data["image"].numpy().astype("float32") / 255
    x = (x - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])
    return x, data["label"].numpy()


@pytest.fixture
def images(data_dir):
    return load(data_dir, "train[:960]")


@pytest.fixture
def resnet20(data_dir):
    return keras.models.load_model(f"{data_dir}/models/resnet20_cifar10.keras", compile=False)


@pytest.mark.parametrize("granularity", slow_but(["channel", "column"], ["channel"]))
def test_a_trained_resnet_prunes_in_fit_and_shrinks_exactly(
    granularity, resnet20, images, tmp_path
):
    x, y = images
    pruned = spp.prune(
        resnet20,
        target_speedup=2.0,
        granularity=granularity,
        round_to=1,
        schedule=spp.SPPSchedule(A=0.2, frequency=1),
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    pruned.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss, metrics=["accuracy"])
    history = pruned.fit(x, y, batch_size=16, verbose=0, callbacks=[spp.SPPCallback()]).history
    assert history["groups_decided"] == [1.0]
    assert history["macs_speedup"][-1] >= 2.0

    small = spp.shrink(pruned)
    expected = pruned(x[:64], training=False).numpy()
    assert np.abs(small(x[:64]) - expected).max() <= 2e-5 * np.abs(expected).max()
    if granularity == "channel":
        assert spp.analyze(resnet20).macs >= 2 * spp.analyze(small).macs
    # Chance is 10 %, the dense network has 88 %: what is left after 60 steps is no accident.
    assert pruned.evaluate(x, y, verbose=0)[1] > 0.6

    small.save(tmp_path / "small.keras")
    np.save(tmp_path / "x.npy", x[:8])
    code = (
        "import sys, numpy as np, tf_keras as keras\n"
        f"model = keras.models.load_model({str(tmp_path / 'small.keras')!r})\n"
        "assert 'keras_spp' not in sys.modules\n"
        f"np.save({str(tmp_path / 'y.npy')!r}, model(np.load({str(tmp_path / 'x.npy')!r})))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), small(x[:8]), rtol=1e-4, atol=1e-5)


def test_a_trained_resnet_keeps_its_accuracy_in_int8(data_dir, resnet20, images, tmp_path):
    path = tmp_path / "m.tflite"
    spp.export_tflite(resnet20, path, "int8", representative_data=images[0])
    (row,) = spp.parity(resnet20, path, [load(data_dir, "test[:2000]")])
    assert row.tflite_top1 >= row.keras_top1 - 0.01
    assert row.keras_top1 > 0.85 and row.top1_agreement > 0.97
