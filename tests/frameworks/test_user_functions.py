"""Functions of the user's in a Lambda, an Activation, a layer, an argument: alike, and exact."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import keras_spp as spp
from keras_spp.core.channels import Reason
from keras_spp.frameworks.tf_keras.graph import layers
from tests.helpers.slow import slow_but
from tests.zoo.awkward import MODELS
from tests.zoo.models import L, random_probabilities, randomize, relative_error

SIZE, CHANNELS = 8, 8


def shuffled(t):
    groups = tf.reshape(t, [-1, SIZE, SIZE, 2, t.shape[-1] // 2])
    return tf.reshape(tf.transpose(groups, [0, 1, 2, 4, 3]), [-1, SIZE, SIZE, t.shape[-1]])


def halves(t):
    first, second = tf.split(t, 2, axis=-1)
    return first * tf.sigmoid(second)


def weighted(t):
    return t * np.linspace(0.5, 2, t.shape[-1]).astype("float32")


def blurred(t):
    kernel = np.full((3, 3, t.shape[-1], 1), 1 / 9, "float32")
    return tf.nn.depthwise_conv2d(t, kernel, [1, 1, 1, 1], "SAME")


# What they do to channels: keep them apart, move them, look at some of them, mix them, hide it.
STEPS = [
    lambda t: t * tf.nn.relu6(t + 3.0) / 6.0,
    lambda t: 0.1 * t,
    lambda t: tf.where(t > 0.0, t, tf.math.expm1(t)),
    lambda t: tf.image.resize(t, [SIZE, SIZE], "nearest"),
    lambda t: tf.image.flip_left_right(t) + t,
    lambda t: tf.cumsum(t, axis=1) / SIZE,
    lambda t: t - tf.reduce_mean(t, [1, 2], keepdims=True),
    lambda t: keras.backend.switch(t > 0.0, t, 0.1 * t),
    lambda t: tf.reshape(tf.sin(t), tf.shape(t)),
    lambda t: tf.pad(t[:, 1:], [[0, 0], [1, 0], [0, 0], [0, 0]], "SYMMETRIC"),
    lambda t: tf.concat([t, tf.nn.relu(-t)], -1),
    lambda t: tf.pad(t, [[0, 0], [0, 0], [0, 0], [1, 1]], constant_values=0.5),
    lambda t: tf.gather(t, list(range(t.shape[-1]))[::-1], axis=-1),
    lambda t: t[..., ::-1] * t,
    lambda t: tf.concat([t[..., 2:], t[..., :2]], -1),
    lambda t: tf.concat(tf.split(t, [1, t.shape[-1] - 1], -1)[::-1], -1),
    halves,
    shuffled,
    weighted,
    blurred,
    lambda t: t * tf.sigmoid(t[..., :1]),
    lambda t: t * tf.reduce_max(t[..., 1:2], [1, 2], keepdims=True),
    lambda t: t * tf.sigmoid(tf.reduce_mean(t, -1, keepdims=True)),
    tf.nn.softmax,
    lambda t: tf.roll(t, 1, axis=-1) + t,
    lambda t: tf.map_fn(lambda image: 2.0 * image, t),
    lambda t: tf.cond(tf.reduce_mean(t) > 0.0, lambda: t, lambda: -t),
]


class Function(L.Layer):
    """A layer without weights."""

    def __init__(self, function, **options):
        super().__init__(**options)
        self.function = function

    def call(self, x):
        return self.function(x)

    def get_config(self):
        return {**super().get_config(), "function": self.function}


FORMS = {
    "Lambda": lambda function, x: L.Lambda(function)(x),
    "Activation": lambda function, x: L.Activation(function)(x),
    "layer": lambda function, x: Function(function)(x),
    "TimeDistributed": lambda function, x: L.TimeDistributed(Function(function))(x[:, None])[:, 0],
    "plain": lambda function, x: function(x),
}


def chain(steps):
    def function(t):
        for step in steps:
            t = step(t)
        return t

    return function


def net(form, function):
    x = keras.Input((SIZE, SIZE, 3))
    y = L.Conv2D(CHANNELS, 3, padding="same", name="first")(x)
    y = FORMS[form](function, y)
    y = L.Conv2D(6, 3, padding="same", name="second")(L.Reshape((SIZE, SIZE, -1))(y))
    return randomize(keras.Model(x, L.Dense(4)(L.GlobalAveragePooling2D()(y))))


def shrunk_exactly(model, where):
    pruned = spp.prune(model, pruning_ratio=0.5, round_to=1)
    random_probabilities(pruned, settled=True)
    small = spp.shrink(pruned)
    assert relative_error(pruned, small) <= 2e-5, where
    return small


def first_row(model):
    return next(row for row in spp.analyze(model) if row.layer == "first")


@pytest.mark.parametrize("seed", slow_but(range(200), range(6)))
def test_random_functions_shrink_exactly_in_every_form(seed):
    random = np.random.default_rng(seed)
    numbers = random.choice(len(STEPS), random.integers(1, 4), replace=False)
    function, groups = chain([STEPS[number] for number in numbers]), {}
    for form in FORMS:
        where = f"seed {seed}, steps {numbers}, {form}"
        try:
            model = net(form, function)
        except Exception:  # Keras does not take a loop on its tensors, or sizes do not fit
            continue
        row = first_row(model)
        assert Reason.FAILED not in (row.reason or ""), (where, row.reason)
        groups[form] = row.groups
        shrunk_exactly(model, where)
    assert len(groups) >= 1 or set(numbers) & {16, 17, 25, 26}, numbers
    # What can be followed operation by operation can be followed as a whole.
    assert all(found >= groups.get("plain", 0) for form, found in groups.items()
               if form not in ("plain", "TimeDistributed")), (seed, numbers, groups)  # fmt: skip


def hard_swish(x):
    return x * tf.nn.relu6(x + 3.0) / 6.0


@pytest.mark.parametrize(
    "layer",
    [
        L.Activation(hard_swish),
        L.Activation(tf.function(hard_swish)),
        L.Lambda(lambda x: 0.1 * x),
        L.Lambda(lambda x: tf.image.resize(x, [4, 4])),
        L.Conv2D(CHANNELS, 1, activation=hard_swish),
        L.SeparableConv2D(CHANNELS, 3, activation=hard_swish),
        L.Conv2D(CHANNELS, 1, activation=tf.nn.crelu),
        L.Activation(tf.sin),
        L.Dense(CHANNELS, activation=L.Activation(hard_swish), name="second"),
        Function(hard_swish),
        Function(halves),
        Function(shuffled),
    ],
)
def test_a_function_that_keeps_or_moves_channels_freezes_nothing(layer):
    x = keras.Input((SIZE, SIZE, 3))
    y = layer(L.Conv2D(CHANNELS, 3, padding="same", name="first")(x))
    model = randomize(keras.Model(x, L.Dense(4)(L.GlobalAveragePooling2D()(y))))
    row = first_row(model)
    assert row.groups >= CHANNELS // 2 and row.reason is None
    small = shrunk_exactly(model, layer.name)
    assert spp.analyze(model).macs / spp.analyze(small).macs > 1.7


def test_units_of_a_recurrent_layer_are_pruned_behind_an_activation_of_ones_own():
    x = keras.Input((5, 6))
    for function, reason in ((lambda u: u * tf.sigmoid(u), None), (tf.nn.softmax, Reason.MIXES)):
        y = L.LSTM(8, activation=function, name="first")(x)
        row = first_row(keras.Model(x, L.Dense(4)(y)))
        assert (row.reason, row.groups) == ((None, 8) if reason is None else (str(reason), 0))


class Dropped(L.Layer):
    """Does in training what it does not do in inference."""

    def call(self, x, training=None):
        return x * 2.0 if training else x


class Masked(L.Layer):
    def call(self, x, mask=None):
        return x


@pytest.mark.parametrize(
    "layer",
    [
        Dropped(),
        Masked(),
        L.Lambda(lambda x: x + tf.random.normal(tf.shape(x))),
        L.Lambda(lambda x: tf.reshape(tf.numpy_function(np.cumsum, [x], tf.float32), tf.shape(x))),
        L.Lambda(lambda x, training=None: x if training else 2.0 * x),
        L.Activation(lambda x: tf.map_fn(lambda image: 2.0 * image, x)),
        L.Conv2D(CHANNELS, 1, activation=lambda x: tf.roll(x, 1, axis=-1)),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_what_depends_on_more_than_its_input_is_an_unknown_function(layer):
    x = keras.Input((SIZE, SIZE, 3))
    y = layer(L.Conv2D(CHANNELS, 3, padding="same", name="first")(x))
    y = L.Conv2D(4, 1)(L.Reshape((SIZE, SIZE, CHANNELS))(y))
    rows = [row for row in spp.analyze(keras.Model(x, y)) if row.layer in ("first", layer.name)]
    assert any(str(Reason.FUNCTION) in (row.reason or "") for row in rows), rows


def test_a_function_with_a_layer_inside_stays_as_it_is():
    inside = L.Dense(CHANNELS)
    inside.build((None, CHANNELS))
    x = keras.Input((SIZE, SIZE, 3))
    y = L.Conv2D(CHANNELS, 3, name="first")(x)
    y = L.Lambda(lambda t: inside(t))(y)
    row = first_row(keras.Model(x, L.Dense(3)(y)))
    assert row.groups == 0 and row.reason.startswith((Reason.MIXES, Reason.FUNCTION))


def test_the_users_layers_are_as_they_were():
    layer = L.Lambda(halves)
    model = net("plain", layer)
    before = (len(layer.inbound_nodes), dict(layer.get_config()), len(model.layers))
    shrunk_exactly(model, "halves")
    assert (len(layer.inbound_nodes), dict(layer.get_config()), len(model.layers)) == before


@pytest.mark.parametrize(
    "name, speedup",
    [
        pytest.param("mobilenet_v3_with_its_own_hard_swish", 3.0, marks=pytest.mark.slow),
        ("deeplab_with_resizes_in_lambdas", 3.3),
    ],
)
def test_networks_with_functions_of_their_authors_lose_what_others_lose(name, speedup):
    model = MODELS[name]()
    dense = spp.analyze(model)
    small = shrunk_exactly(randomize(model), name)
    assert dense.macs / spp.analyze(small).macs >= speedup
    assert not any(Reason.FUNCTION in (row.reason or "") for row in dense)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, y: L.Lambda(lambda t, by: t * by, arguments={"by": 0.5})(x),
        lambda x, y: L.Lambda(lambda both: both[0] * tf.tanh(both[1]))([x, y]),
        lambda x, y: L.Lambda(lambda both: tf.concat(both, -1))([x, y]),
        lambda x, y: L.Lambda(lambda both: both["a"] - both["b"])({"a": x, "b": y}),
        lambda x, y: L.Add()(L.Lambda(lambda t: tf.split(t, 2, -1))(x)) + y[..., :4],
        lambda x, y: L.Lambda(lambda t: tf.image.resize(t[0], tf.shape(t[1])[1:3]))([x, y]) + y,
        lambda x, y: L.Concatenate()([L.Lambda(lambda t, i=i: t[:, i::2])(x) for i in (0, 1)]),
    ],
)
def test_functions_of_several_tensors_shrink_exactly(function):
    x = keras.Input((SIZE, SIZE, 3))
    first = L.Conv2D(CHANNELS, 3, padding="same", name="first")(x)
    y = function(first, L.Conv2D(CHANNELS, 3, padding="same")(x))
    model = randomize(keras.Model(x, L.Dense(4)(L.GlobalAveragePooling2D()(y))))
    assert first_row(model).groups >= 4
    shrunk_exactly(model, "")


@pytest.mark.parametrize("step", [halves, shuffled, weighted, STEPS[13], STEPS[20]])
def test_small_models_load_without_the_functions_that_were_opened(step, tmp_path):
    small = shrunk_exactly(net("Lambda", step), "")
    assert not any(isinstance(layer, L.Lambda) for layer in layers(small))
    small.save(tmp_path / "small.keras")
    assert relative_error(small, spp.load_model(tmp_path / "small.keras")) == 0
