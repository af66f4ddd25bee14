"""The order of work: shrink, then train for quantization with tfmot, then export."""

import numpy as np
import pytest
import tensorflow_model_optimization as tfmot
import tf_keras as keras

import keras_spp as spp
from tests.export.test_quantization import normal
from tests.helpers.training import prune, settled
from tests.zoo.models import L, randomize

pytestmark = pytest.mark.usefixtures("warm_quantizer")
quantize_model = tfmot.quantization.keras.quantize_model


def net():
    x = keras.Input((8, 8, 3))
    y = L.ReLU()(L.BatchNormalization()(L.Conv2D(16, 3, use_bias=False, name="first")(x)))
    z = L.ReLU()(L.BatchNormalization()(L.Conv2D(16, 3, padding="same", name="second")(y)))
    y = L.Add()([y, z])
    y = L.ReLU(6.0)(L.BatchNormalization()(L.DepthwiseConv2D(3, name="depthwise")(y)))
    return randomize(keras.Model(x, L.Dense(4, name="head")(L.GlobalAveragePooling2D()(y))))


@pytest.fixture(scope="module")
def trained():
    """The dense model, the small one, and the small one trained for quantization."""
    dense = net()
    pruned = prune(dense, goal=0.5)
    settled(pruned, 0)
    small = spp.shrink(pruned)
    aware = quantize_model(small)
    x, y = normal(128, 8, 8, 3), small(normal(128, 8, 8, 3)).numpy()
    aware.compile(keras.optimizers.SGD(1e-4), "mse")
    aware.fit(x, y, batch_size=16, epochs=2, verbose=0)
    return dense, small, aware


@pytest.mark.parametrize("data", [None, normal(32, 8, 8, 3)], ids=["no data", "data"])
def test_a_shrunk_model_is_trained_for_quantization_and_exported(trained, tmp_path, data):
    dense, small, aware = trained
    path = tmp_path / "m.tflite"
    report = spp.export_tflite(
        aware, path, "int8", output_type="int8", representative_data=data, original=dense
    )
    (output,) = report.outputs
    (row,) = spp.parity(aware, path, normal(64, 8, 8, 3, seed=1))
    # What the training simulated is what the file computes, but for values that round elsewhere.
    assert row.max_difference <= 2.01 * output.scale and row.mean_difference < 0.3 * output.scale
    pruned = report.metadata["pruned"]
    macs = [spp.analyze(model).macs for model in (dense, small)]
    assert pruned["macs"] == macs and pruned["speedup"] == round(macs[0] / macs[1], 4) > 1.5
    assert pruned["layers"]["second"] == [16, small.get_layer("second").filters]
    assert np.prod(report.inputs[0].shape) == 192 and report.inputs[0].dtype == "float32"


@pytest.mark.parametrize("quantization", ["none", "float16", "dynamic", "int16x8"])
def test_other_quantizations_of_such_a_model_are_refused(trained, tmp_path, quantization):
    data = normal(4, 8, 8, 3) if quantization == "int16x8" else None
    with pytest.raises(ValueError, match=f"`quantization` must be 'int8' .* is '{quantization}'"):
        spp.export_tflite(trained[2], tmp_path / "m.tflite", quantization, representative_data=data)


def test_operations_without_ranges_of_their_own_ask_for_data(tmp_path):
    model = keras.Sequential([keras.Input((8, 8, 3)), L.Conv2D(4, 3, activation="swish")])
    aware = quantize_model(randomize(model))
    with pytest.raises(ValueError, match=r"`representative_data` .* LOGISTIC"):
        spp.export_tflite(aware, tmp_path / "m.tflite", "int8")
    x = normal(32, 8, 8, 3)
    aware.compile("sgd", "mse")
    aware.fit(x, model(x), verbose=0)  # finds the ranges
    spp.export_tflite(aware, tmp_path / "m.tflite", "int8", representative_data=x)
    (row,) = spp.parity(aware, tmp_path / "m.tflite", x)
    assert row.mean_difference < 0.05 * row.largest
