"""Sums that Keras on TensorFlow takes for biases of another axis than they are given along."""

import keras
import numpy as np
import pytest

import keras_spp as spp
from keras_spp.core.channels import Reason
from tests.helpers.keras3 import check_exact
from tests.zoo.keras3_models import L, ops, randomize

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="its own way")


def first(filters, width=8):
    """Convolutions whose channels come first, on maps of this width."""
    options = {"padding": "same", "data_format": "channels_first"}
    x = keras.Input((3, 9, width))
    y = L.Conv2D(filters, 3, name="first", activation="relu", **options)(x)
    y = L.DepthwiseConv2D(3, name="depthwise", **options)(y)
    y = L.Conv2D(5, 3, **options)(y)
    return randomize(keras.Model(x, L.Dense(2)(L.Flatten()(y))))


def placed(filters):
    """A number for each row of a picture, added to all of its channels."""
    x = keras.Input((8, 7, 3))
    y = L.Conv2D(filters, 3, padding="same", name="first")(x)
    y = ops.relu(y + np.linspace(0, 2, 8, dtype="float32").reshape(1, 8, 1, 1))
    return randomize(keras.Model(x, L.Dense(2)(L.Flatten()(L.Conv2D(5, 3)(y)))))


@pytest.mark.parametrize("make", [first, placed])
def test_a_number_of_channels_that_would_move_the_axis_is_not_left(make):
    small, _ = check_exact(make(16))  # half of them would be as many as a map is wide, or high
    assert small.get_layer("first").filters == 9
    assert check_exact(make(12))[0].get_layer("first").filters == 6


@pytest.mark.parametrize("make", [first, placed])
def test_channels_stay_if_it_has_moved_already(make):
    model = make(8)
    row = next(row for row in spp.analyze(model) if row.layer == "first")
    assert row.groups == 0 and row.reason.startswith(Reason.HELD.value)
    check_exact(model)
