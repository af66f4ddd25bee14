"""Published networks, their TFLite files, and the ways of tfmot, all of tf_keras."""

import numpy as np
import pytest
import tensorflow_model_optimization as tfmot
import tf_keras as keras
from ai_edge_litert.interpreter import Interpreter

import keras_spp as spp
from tests.helpers.calibrated import calibrate
from tests.shrinking.test_shrink import EXACT, shrunk
from tests.zoo.dozen import PUBLISHED, network
from tests.zoo.models import (
    L,
    inputs_for,
    random_model,
    random_probabilities,
    randomize,
    relative_error,
)


def tflite(model, path, x):
    """What the TFLite file of a model answers."""
    spp.export_tflite(model, path)
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_shrink_exactly_and_so_do_their_tflite_files(name, tmp_path):
    model = network(name)
    pruned = spp.prune(model, pruning_ratio=0.5, round_to=1)
    random_probabilities(pruned)
    x = 50 * inputs_for(pruned, batch=64)[0]  # pixels: half of the networks rescale them
    calibrate(pruned, x)
    small = spp.shrink(pruned)
    x = x[:3]
    expected = pruned(x).numpy()
    scale = np.abs(expected).max()
    assert np.abs(expected - small(x)).max() <= EXACT * scale
    assert np.ptp(expected, axis=0).max() > 0.01 * scale  # the signal is what is compared

    expected = tflite(pruned, tmp_path / "pruned.tflite", x[:1])
    difference = expected - tflite(small, tmp_path / "small.tflite", x[:1])
    assert np.abs(difference).max() <= 1e-4 * np.abs(expected).max()
    assert (tmp_path / "small.tflite").stat().st_size < (tmp_path / "pruned.tflite").stat().st_size
    fewer = spp.analyze(model).macs / spp.analyze(small).macs
    assert fewer > (1.8 if name == "ConvNeXtTiny" else 3)  # layer normalisation keeps its streams


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ResNet50", "MobileNetV2"])
def test_well_known_networks_with_pruned_columns_shrink_exactly(name):
    pruned, small = shrunk(network(name), granularity="column", pruning_ratio=0.7)
    assert relative_error(pruned, small) <= EXACT


def test_hand_made_prunable_layers_become_plain_ones():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            spp.PrunableConv2D(16, 3, activation="relu"),
            spp.PrunableConv2D(8, 3),
            L.Flatten(),
            L.Dense(4),
        ]
    )
    pruned, small = shrunk(randomize(model))
    assert [type(layer) for layer in small.layers] == [L.Conv2D, L.Conv2D, L.Flatten, L.Dense]
    assert [layer.filters for layer in small.layers[:2]] == [8, 4]
    assert relative_error(pruned, small) <= EXACT


def test_a_finished_model_equals_its_stripped_form():
    pruned, small = shrunk(random_model(7))
    for wrapper in spp.Pruner(pruned).wrappers:
        wrapper.pruning_obj.weight_mask_op()
    stripped = tfmot.sparsity.keras.strip_pruning(pruned)
    assert relative_error(stripped, small) <= EXACT
