"""What the benchmarks count as channels that a network has lost by itself."""

import numpy as np
import tf_keras as keras

from benchmarks.accuracy.silent import silent
from tests.zoo.models import L


def net():
    """A convolution with its ReLU inside, one with a layer for it, and one without."""
    x = keras.Input((4, 4, 1))
    y = L.ReLU()(L.Conv2D(5, 1, name="before")(L.Conv2D(6, 1, activation="relu", name="inside")(x)))
    return keras.Model(x, L.Conv2D(3, 1, name="without")(y))


def test_channels_of_relus_that_are_0_for_all_data_are_counted():
    model, data = net(), [(np.full((2, 4, 4, 1), value), None) for value in (0.5, 1.0)]
    for layer in model.layers[1:]:
        if layer.weights:
            layer.set_weights([np.ones(layer.kernel.shape), np.zeros(layer.bias.shape)])
    assert silent(model, data) == 0
    inside, before = model.get_layer("inside"), model.get_layer("before")
    inside.bias.assign([-2, -2, -0.7, -0.7, 0, 0])  # the second batch wakes two of the four
    assert silent(model, data) == 2
    before.bias.assign([0, 0, 0, 0, -100])
    model.get_layer("without").bias.assign([-100, -100, -100])
    assert silent(model, data) == 3


def test_a_network_without_a_relu_has_none():
    assert silent(keras.Sequential([keras.Input((2,)), L.Dense(2)]), []) == 0
