"""Each layer by itself: labelled as its operation moves values, shrunk exactly."""

import numpy as np
import pytest

import keras_spp as spp
from keras_spp.core.channels import Reason
from tests.helpers.both_keras import TF_KERAS, L, keras, later, made, ops
from tests.helpers.compared import relative_error
from tests.helpers.random_weights import random_probabilities, randomize

pytestmark = pytest.mark.usefixtures("keras")
IMAGE = (8, 8, 3)


def check(make, shape=IMAGE, head=None, frozen=False, filters=4, **options):
    """Prunes a convolution whose output goes through `make`, and compares.

    `frozen` says whether the layers under test keep the convolution's channels from being
    pruned.
    """
    kind = {1: L.Conv1D, 2: L.Conv2D, 3: L.Conv3D}[len(shape) - 1]
    x = keras.Input(shape)
    y = kind(8, 3, padding="same", name="first", **options)(x)
    y = make(y)
    y = (head or L.Dense(4, name="head"))(y)
    model = randomize(keras.Model(x, y))
    rows = {row.layer: row for row in spp.analyze(model)}
    if frozen:
        assert not rows["first"].prunable, rows["first"]
        return rows["first"].reason
    assert rows["first"].prunable, rows["first"].reason
    pruned = spp.prune(model, {"first": 0.5}, round_to=1)
    random_probabilities(pruned)
    small = spp.shrink(pruned)
    assert small.get_layer("first").filters == filters
    assert relative_error(pruned, small) <= 2e-5
    return small


@pytest.mark.parametrize(
    "layer",
    [
        later.ReLU(6.0),
        later.LeakyReLU(),
        later.ELU(),
        later.ThresholdedReLU(0.3),
        later.Activation("swish"),
        later.Activation("gelu"),
        later.Dropout(0.3),
        later.SpatialDropout2D(0.3),
        later.GaussianDropout(0.3),
        later.GaussianNoise(0.3),
        later.AlphaDropout(0.3),
        later.ActivityRegularization(0.1),
        later.Identity(),
        later.RandomContrast(0.1),
        later.RandomBrightness(0.1),
        later.Masking(),
        later.Rescaling(2.0, offset=1.0),
        later.Rescaling([1.0, 2, 3, 4, 5, 6, 7, 8], offset=[0.5] * 8),
        later.BatchNormalization(),
        later.BatchNormalization(center=False, scale=False),
        later.BatchNormalization(synchronized=True),
        later.PReLU(),
        later.PReLU(shared_axes=[1, 2]),
        later.PReLU(shared_axes=[1, 2, 3]),
        later.Normalization(mean=list(range(8)), variance=[2.0] * 8),
        later.Normalization(axis=None, mean=0.5, variance=2.0),
        later.MaxPooling2D(2),
        later.AveragePooling2D(3, strides=2, padding="same"),
        later.ZeroPadding2D(((1, 2), (0, 1))),
        later.Cropping2D(1),
        later.UpSampling2D(2),
        later.Resizing(5, 6),
        later.GlobalAveragePooling2D(),
        later.GlobalMaxPooling2D(keepdims=True),
        later.Flatten(),
        later.Reshape((64, 8)),
        later.Reshape((-1, 8)),
        later.Reshape((8, 64)),
        later.Reshape((4, 16, 8)),
        later.Permute((2, 1, 3)),
        later.GroupNormalization(groups=-1),
        later.GroupNormalization(groups=8, center=False),
        later.LayerNormalization(axis=[1, 2]),
        later.UnitNormalization(axis=2),
        later.Softmax(axis=1),
        later.CenterCrop(4, 5),
        later.RandomFlip(),
        later.RandomZoom(0.1),
    ],
    ids=repr,
)
def test_a_layer_behind_a_convolution_shrinks_exactly(layer):
    check(made(layer))


@pytest.mark.parametrize(
    ("shape", "layer"),
    [
        ((16, 3), later.MaxPooling1D(2)),
        ((16, 3), later.AveragePooling1D(2)),
        ((16, 3), later.UpSampling1D(2)),
        ((16, 3), later.ZeroPadding1D(2)),
        ((16, 3), later.Cropping1D(2)),
        ((16, 3), later.GlobalMaxPooling1D()),
        ((16, 3), later.SpatialDropout1D(0.2)),
        ((6, 6, 6, 2), later.MaxPooling3D(2)),
        ((6, 6, 6, 2), later.AveragePooling3D(2)),
        ((6, 6, 6, 2), later.UpSampling3D(2)),
        ((6, 6, 6, 2), later.ZeroPadding3D(1)),
        ((6, 6, 6, 2), later.Cropping3D(1)),
        ((6, 6, 6, 2), later.GlobalAveragePooling3D()),
        ((6, 6, 6, 2), later.SpatialDropout3D(0.2)),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_one_and_three_dimensions(shape, layer):
    check(made(layer), shape)


@pytest.mark.parametrize(
    "layer, filters",
    [
        (later.UpSampling2D(2), 4),
        (later.UpSampling2D((1, 2)), 4),
        (later.Cropping2D(((1, 2), (0, 1))), 5),  # who reads the others?
        (later.Cropping2D(1), 5),
    ],
)
def test_channels_may_lie_where_a_layer_expects_space(layer, filters):
    layer = made(layer)
    check(lambda y: L.Permute((3, 2, 1))(layer(L.Permute((3, 2, 1))(y))), filters=filters)


def test_a_mask_that_counts_steps_by_all_channels_keeps_them():
    def first(mask_value, behind):
        x = keras.Input((6, 5))
        y = L.Masking(mask_value)(L.Dense(8, "relu", name="first")(x))
        return spp.analyze(keras.Model(x, L.Dense(2)(behind(y))))[0]

    assert first(0.0, L.LSTM(4)).reason == "mixes channels (masking)"
    assert first(0.0, lambda y: L.LSTM(4)(L.Dense(8)(y))).groups == 0
    assert first(0.0, L.Conv1D(4, 3)).groups == 8
    assert first(1.0, L.Conv1D(4, 3)).groups == 0  # what remains would be another number


def test_a_vector_can_be_repeated():
    check(lambda y: L.RepeatVector(3)(L.GlobalAveragePooling2D()(y)))


@pytest.mark.parametrize("kind", ["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"])
def test_merging_two_branches_makes_their_channels_one(kind):
    small = check(lambda y: getattr(L, kind)()([y, L.Conv2D(8, 1, name="second")(y)]))
    assert small.get_layer("second").filters == 4


def test_concatenated_channels_stay_independent():
    small = check(lambda y: L.Concatenate()([L.Conv2D(6, 1, name="second")(y), y, y]))
    assert small.get_layer("second").filters == 6
    assert small.get_layer("head").kernel.shape[0] == 6 + 4 + 4


def test_concatenation_in_space_ties_the_channels():
    small = check(lambda y: L.Concatenate(axis=1)([y, L.Conv2D(8, 1, name="second")(y)]))
    assert small.get_layer("second").filters == 4


def test_a_gate_of_one_value_per_channel_follows():
    def gated(y):
        gate = L.GlobalAveragePooling2D(keepdims=True)(y)
        gate = L.Conv2D(4, 1, activation="relu")(gate)
        return L.Multiply()([y, L.Conv2D(8, 1, activation="sigmoid", name="gate")(gate)])

    assert check(gated).get_layer("gate").filters == 4


def test_a_gate_of_one_value_per_position_stays_whole():
    small = check(lambda y: L.Multiply()([y, L.Conv2D(1, 3, padding="same", name="gate")(y)]))
    assert small.get_layer("gate").filters == 1


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (later.LayerNormalization(), Reason.MIXES),
        (later.GroupNormalization(2), Reason.MIXES),
        (later.UnitNormalization(), Reason.MIXES),
        (later.Softmax(), Reason.MIXES),
        (later.Activation("softmax"), Reason.MIXES),
        pytest.param(later.BatchNormalization(axis=[1, 3]), Reason.MIXES, marks=TF_KERAS),
        (later.Lambda(lambda v: v[..., ::2]), Reason.FUNCTION),
        (later.Dropout(0.1, noise_shape=(None, 1, 1, 8)), Reason.SHAPE),
        (later.MultiHeadAttention(2, 4), Reason.MIXES),
        (later.LocallyConnected2D(3, 3, implementation=2), Reason.UNKNOWN),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_what_mixes_channels_or_is_not_known_freezes_them(layer, reason):
    layer = made(layer)
    if isinstance(layer, L.MultiHeadAttention):
        found = check(lambda y: layer(y, y), frozen=True)
    else:
        found = check(layer, frozen=True)
    assert reason in found


def test_an_activation_of_ones_own_freezes():
    def shifted(values):
        return values - ops.mean(values, -1, keepdims=True)

    assert Reason.MIXES in check(L.Activation(shifted), frozen=True)
    assert Reason.MIXES in check(lambda y: y, frozen=True, activation=shifted)


def test_an_activation_that_keras_cannot_serialise_costs_only_its_own_layers_channels():
    small = check(lambda y: L.Conv2D(6, 1, activation=lambda v: v * 2, name="second")(y))
    assert small.get_layer("second").filters == 6


def test_a_subclass_with_a_forward_pass_of_its_own_freezes_and_one_without_does_not():
    class Standardised(L.Conv2D):
        def convolution_op(self, inputs, kernel):
            return super().convolution_op(inputs, kernel - ops.mean(kernel, 2, keepdims=True))

    class Tagged(L.Conv2D):
        tag: str = "mine"

    class Weighted(L.Conv2D):
        def build(self, shape):
            super().build(shape)
            self.average = self.add_weight(name="average", shape=self.kernel.shape, trainable=False)

    assert Reason.UNKNOWN in check(Standardised(6, 3), frozen=True)
    assert Reason.UNKNOWN in check(Weighted(6, 3), frozen=True)
    assert check(Tagged(6, 3))


@TF_KERAS  # with Keras 3 it freezes what it reads, as one that mixes channels
def test_of_a_subclass_without_weights_what_it_calls_takes_its_place():
    class Crossed(L.Add):
        def _merge_function(self, inputs):
            return inputs[0] + inputs[1][..., ::-1]

    check(lambda y: Crossed()([y, y]))


def test_a_layer_that_mixes_positions_into_channels_is_told_apart_from_one_that_is_too_small():
    x = keras.Input(IMAGE)
    y = L.Permute((3, 1, 2))(L.Conv2D(8, 3, name="slid_over")(x))
    y = L.Conv2D(1, 3, name="single")(L.Conv2D(6, 3)(y))
    rows = {r.layer: r.reason for r in spp.analyze(keras.Model(x, L.Conv2D(4, 1)(y)))}
    assert rows["slid_over"].startswith(Reason.MIXES)
    assert rows["single"] == Reason.FEW


def test_channels_first_is_followed_though_a_cpu_cannot_run_it():
    x = keras.Input((3, 8, 8))
    kwargs = {"data_format": "channels_first"}
    y = L.Conv2D(8, 3, name="first", **kwargs)(x)
    y = L.BatchNormalization(axis=1)(y)
    y = L.MaxPooling2D(2, **kwargs)(L.ZeroPadding2D(1, **kwargs)(y))
    y = L.PReLU(shared_axes=[2, 3])(L.DepthwiseConv2D(3, **kwargs)(y))
    y = L.Concatenate(axis=1)([y, L.Conv2D(6, 1, name="second", **kwargs)(y)])
    y = L.Flatten(**kwargs)(y)
    model = keras.Model(x, L.Dense(4)(y))
    pruned = spp.prune(model, {"first": 0.5, "second": 0.5}, round_to=1)
    random_probabilities(pruned)
    small = spp.shrink(pruned)
    assert small.get_layer("first").filters == 4
    assert small.get_layer("second").filters == 3


def test_channels_first_shrinks_exactly_where_a_cpu_can_run_it():
    x = keras.Input((8, 3))
    y = L.Permute((2, 1))(L.Conv1D(8, 3, padding="same", name="first")(x))
    y = L.BatchNormalization(axis=1)(y)
    y = L.GlobalAveragePooling1D(data_format="channels_first")(y)
    model = randomize(keras.Model(x, L.Dense(4)(y)))
    pruned = spp.prune(model, {"first": 0.5}, round_to=1)
    random_probabilities(pruned)
    small = spp.shrink(pruned)
    assert small.get_layer("first").filters == 4
    assert relative_error(pruned, small) <= 2e-5


def test_adapted_normalisation_is_cut_and_finalised():
    layer = L.Normalization()
    layer.adapt(np.random.default_rng(0).normal(2, 3, (64, 8, 8, 8)).astype("float32"))
    x = keras.Input(IMAGE)
    y = layer(L.Conv2D(8, 3, padding="same", name="first")(x))
    model = keras.Model(x, L.Dense(4)(y))
    pruned = spp.prune(model, {"first": 0.5}, round_to=1)
    random_probabilities(pruned)
    small = spp.shrink(pruned)
    assert small.get_layer(layer.name).mean.shape[-1] == 4
    assert relative_error(pruned, small) <= 2e-5
