import keras as keras_3
import pytest
import tf_keras as keras

import keras_spp as spp
from keras_spp.core.cost import MACs
from tests.helpers.profiler import counts
from tests.zoo.dozen import PUBLISHED, network
from tests.zoo.models import L, random_model, random_probabilities


def test_macs_of_each_kind_of_layer():
    x = keras.Input((8, 8, 3))
    y = L.Conv2D(4, 3, name="conv")(x)
    y = L.Conv2D(4, 3, groups=2, padding="same", name="grouped")(y)
    y = L.DepthwiseConv2D(3, depth_multiplier=2, padding="same", name="depthwise")(y)
    y = L.SeparableConv2D(6, 3, padding="same", name="separable")(y)
    y = L.Conv2DTranspose(2, 2, strides=2, name="transposed")(y)
    y = L.BatchNormalization(name="norm")(y)
    y = L.Dense(5, name="dense")(y)
    macs = {row.layer: row.macs for row in spp.analyze(keras.Model(x, y))}
    assert macs == {
        "conv": 36 * 9 * 3 * 4,
        "grouped": 36 * 9 * 2 * 4,
        "depthwise": 36 * 9 * 8,
        "separable": 36 * (9 * 8 + 8 * 6),
        "transposed": 36 * 4 * 6 * 2,
        "norm": 0,
        "dense": 144 * 2 * 5,
    }


@pytest.mark.parametrize("library", [keras, keras_3], ids=["tf_keras", "keras_3"])
def test_macs_of_dilated_kernels_agree_too(library):
    layers, x = library.layers, library.Input((8, 8, 4))
    y = layers.Conv2D(6, 3, padding="same", dilation_rate=6)(x)
    y = layers.DepthwiseConv2D(3, padding="same", dilation_rate=3)(y)
    model = library.Model(x, y)
    assert counts(model)[0] == spp.analyze(model).macs == 8 * 8 * 9 * (4 * 6 + 6)


@pytest.mark.parametrize("name", PUBLISHED)
def test_macs_and_parameters_agree_with_tensorflows_profiler(name):
    model = network(name)
    report = spp.analyze(model)
    assert (report.macs, report.params) == pytest.approx(counts(model), rel=5e-3)


def test_a_shared_layer_costs_every_call_but_has_its_parameters_once():
    x = keras.Input((8, 8, 4))
    layer = L.Conv2D(4, 1)
    report = spp.analyze(keras.Model(x, layer(layer(x))))
    assert report.macs == 2 * 64 * 16 and report.params == 20


@pytest.mark.parametrize("seed", range(6))
def test_macs_predicted_from_the_masks_are_those_of_the_shrunk_model(seed):
    pruned = spp.prune(random_model(seed), pruning_ratio=0.5, round_to=1)
    pruner = random_probabilities(pruned, seed)
    alive = pruner.alive()
    predicted = MACs(pruner.coupling).left(pruner.coupling.dead(alive), alive)
    assert predicted == spp.analyze(spp.shrink(pruned)).macs, f"seed {seed}"
