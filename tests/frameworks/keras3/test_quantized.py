"""Models that Keras quantizes after they were shrunk, and those that it has quantized before."""

import keras
import numpy as np
import pytest

import keras_spp as spp
from keras_spp.core.channels import Reason
from tests.helpers.sentences import assert_one_sentence
from tests.helpers.training_keras3 import BACKEND, compiled, fit, prune, samples
from tests.zoo.keras3_models import L, outputs, randomize

pytestmark = pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
# How far outputs may move, of the largest: eight bits, four bits, and three bits of a mantissa.
MODES = {"int8": 0.05, "int4": 0.3, "float8": 0.2}


def net(head=5):
    x = inputs = keras.Input((6, 6, 2))
    x = L.Flatten()(L.Conv2D(8, 3, activation="relu", name="convolution")(x))
    x = L.Reshape((4, 8))(L.Dense(32, activation="relu", name="wide")(x))
    x = L.EinsumDense("btc,cd->btd", (4, 12), activation="relu", name="steps")(x)
    return randomize(keras.Model(inputs, L.Dense(head, name="head")(L.Flatten()(x))))


@pytest.fixture(scope="module")
def small():
    pruned = compiled(prune(net(), A=0.5), "adam")
    fit(pruned, 15)
    assert spp.Pruner(pruned).progress().finished
    return spp.shrink(pruned)


@pytest.mark.parametrize("mode", MODES)
def test_a_small_model_is_quantized_saved_and_loaded(small, mode, tmp_path):
    quantized = keras.models.clone_model(small)
    quantized.set_weights(small.get_weights())
    x, _ = samples(small, 16)
    (before,) = outputs(small, x)
    quantized.quantize(mode)
    assert quantized.get_layer("head").quantization_mode == mode
    assert quantized.get_layer("wide").units == small.get_layer("wide").units < 32
    (after,) = outputs(quantized, x)
    assert 0 < np.abs(after - before).max() < MODES[mode] * np.abs(before).max()
    quantized.save(tmp_path / "quantized.keras")
    loaded = keras.models.load_model(tmp_path / "quantized.keras")
    np.testing.assert_array_equal(outputs(loaded, x)[0], after)


@pytest.mark.parametrize("mode", ["int8", "int4"])
def test_what_was_quantized_before_is_refused_with_the_reason(mode):
    model = net()
    model.quantize(mode)
    x, _ = samples(model, 32)
    for act in (
        lambda: spp.prune(model, 0.5, round_to=1),
        lambda: spp.prune(model, target_speedup=1.5, round_to=1),
        lambda: spp.compress(model, x, pruning_ratio=0.5, round_to=1, verbose=0),
    ):
        with pytest.raises(ValueError, match=rf"nothing to prune .*\(.*{Reason.ADAPTED}") as error:
            act()
        assert_one_sentence(error)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="another process converts other backends'")
@pytest.mark.parametrize("mode", ["int8", "float8"])
def test_a_model_quantized_by_keras_is_not_converted(mode, tmp_path):
    model = net()
    model.quantize(mode)
    with pytest.raises(ValueError, match=f"'wide' that Keras has quantized to {mode}") as error:
        spp.export_tflite(model, tmp_path / "model.tflite")
    assert_one_sentence(error)
