import pytest

import keras_spp as spp
from keras_spp.core.channels import Reason
from tests.helpers.both_keras import TF_KERAS, L, keras, later, made
from tests.rules.test_channelwise import IMAGE, check

pytestmark = pytest.mark.usefixtures("keras")


@pytest.mark.parametrize(
    "layer",
    [
        later.DepthwiseConv2D(3),
        later.DepthwiseConv2D(3, depth_multiplier=2, activation="tanh", strides=2),
        later.SeparableConv2D(6, 3),
        later.SeparableConv2D(6, 3, depth_multiplier=3, use_bias=False),
        later.Conv2DTranspose(6, 3, strides=2),
        later.Conv2D(6, 3, groups=2),
        later.Conv2D(16, 3, groups=8),
        later.LocallyConnected2D(6, (3, 2), strides=2, activation="relu"),
        later.Dense(5, activation="sigmoid"),
    ],
    ids=repr,
)
def test_a_layer_behind_a_convolution_shrinks_exactly(layer):
    check(made(layer))


@pytest.mark.parametrize(
    ("shape", "layer"),
    [
        ((16, 3), later.Conv1D(5, 3, padding="causal")),
        ((16, 3), later.Conv1DTranspose(5, 3)),
        ((16, 3), later.SeparableConv1D(5, 3)),
        ((16, 3), later.DepthwiseConv1D(3)),
        ((6, 3), later.LocallyConnected1D(5, 3, use_bias=False)),
        ((6, 6, 6, 2), later.Conv3D(5, 3)),
        ((6, 6, 6, 2), later.Conv3DTranspose(5, 3)),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_one_and_three_dimensions(shape, layer):
    check(made(layer), shape)


@TF_KERAS
def test_convolutions_of_several_batch_axes_are_followed_where_channels_are_last():
    x = keras.Input((3, 8, 8, 4))
    y = L.Conv2D(6, 3)(L.Conv2D(8, 3, name="first")(x))
    assert spp.analyze(keras.Model(x, L.Dense(3)(y)))[0].groups == 8
    x = keras.Input((3, 4, 8, 8))
    y = L.Conv2D(6, 3, data_format="channels_first")(L.Dense(8, name="first")(x))
    model = keras.Model(x, L.Dense(3)(L.Dense(8)(y)))
    assert spp.analyze(model)[0].reason.startswith(Reason.SHAPE)


def test_groups_on_both_sides_that_tie_all_channels_are_a_mismatch():
    def between(first, second):
        return lambda y: L.Conv2D(8, 1, groups=second)(L.Conv2D(12, 1, groups=first)(y))

    x = keras.Input(IMAGE)
    model = keras.Model(x, L.Dense(4)(between(3, 4)(L.Conv2D(6, 3)(x))))
    rows = list(spp.analyze(model))
    assert rows[1].reason.startswith(Reason.GROUPS) and not rows[1].prunable
    model = keras.Model(x, L.Dense(4)(between(2, 4)(L.Conv2D(8, 3)(x))))
    assert spp.analyze(model)[1].groups == 3
