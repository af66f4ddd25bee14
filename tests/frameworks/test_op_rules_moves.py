import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import keras_spp as spp
from keras_spp.core.channels import Reason
from tests.rules.test_channelwise import check
from tests.zoo.models import L, random_probabilities, randomize, relative_error


@pytest.mark.parametrize(
    "function",
    [
        lambda y: tf.concat([y, tf.nn.relu(y)], -1),
        lambda y: tf.concat([y, y], 1),
        lambda y: tf.pad(y, [[0, 0], [1, 1], [2, 0], [0, 0]]),
        lambda y: tf.pad(y, [[0, 0], [0, 0], [0, 0], [2, 3]], constant_values=0.7),
        lambda y: tf.pad(y, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="REFLECT"),
        lambda y: y[:, ::2, 1:, :],
        lambda y: y[:, 0],
        lambda y: y[:, None, ..., tf.newaxis][..., 0],
        lambda y: y[:1],
        lambda y: tf.tile(y, [2, 1, 1, 1]),
        lambda y: tf.strided_slice(y, [0, 0, 0, 0], [100, 8, 8, 8], [1, 2, 2, 1]),
        lambda y: y + tf.broadcast_to(tf.reduce_mean(y, [1, 2], keepdims=True), tf.shape(y)),
        lambda y: tf.ensure_shape(y, [None, 8, None, 8]),
        lambda y: tf.slice(y, [0, 1, 0, 0], [-1, 4, -1, 8]),
        lambda y: tf.concat([y[..., 3:], tf.slice(y, [0, 0, 0, 0], [-1, 8, 8, 3])], -1),
        lambda y: tf.concat(tf.split(y, [2, 5, 1], axis=3)[::-1], -1),
        lambda y: tf.concat(tf.split(y, 2, axis=1), -1),
        lambda y: tf.split(y, 2, axis=-1)[0] * tf.split(y, 2, axis=-1)[1],
        lambda y: tf.gather(y, [3, 1, 0, 2, 7, 6, 5, 4, 4, 1], axis=-1),
        lambda y: tf.gather(y, [3, 1], axis=2),
        lambda y: tf.reduce_max(tf.stack([y, y * 2.0], axis=-1), -1),
        lambda y: tf.reduce_max(tf.stack([y, y * 2.0]), axis=0),
        lambda y: tf.add_n(tf.unstack(tf.stack([y, y * 2.0]))),
        lambda y: tf.stack(tf.unstack(y, axis=1)[:3], axis=2),
        lambda y: tf.roll(y, 2, axis=1),
        lambda y: tf.reshape(y, [-1, 64, 8]),
        lambda y: tf.reshape(y, (-1, 8 * 8 * 8)),
        lambda y: tf.reshape(y, [tf.shape(y)[0], 4, 16, 8]),
        lambda y: tf.reshape(y, [tf.shape(y)[0], -1, 8]),
        lambda y: tf.reshape(y, [tf.shape(y)[0], tf.shape(y)[1] * tf.shape(y)[2], 2, 4]),
        lambda y: tf.reshape(y, [-1, 8, 8, tf.shape(y)[3]]),
        lambda y: tf.reshape(y, tf.shape(y)),
        lambda y: tf.concat([y[..., ::-1], y], -1),
        lambda y: tf.reshape(tf.reshape(y, [-1, 4, 4, 8]), [-1, 8, 8, 8]),
        lambda y: tf.transpose(y, [0, 2, 1, 3]),
        lambda y: tf.expand_dims(y, 1),
        lambda y: tf.squeeze(tf.reduce_sum(y, [1, 2], keepdims=True), [1, 2]),
        lambda y: tf.reverse(y, [-1]),
        lambda y: tf.tile(y, [1, 1, 1, 2]),
        lambda y: tf.repeat(y, 3, axis=-1),
        lambda y: tf.nn.space_to_depth(y, 2),
        lambda y: tf.image.resize(y, tf.shape(y)[1:3] * 2),
    ],
)
def test_a_function_that_moves_values_shrinks_exactly(function):
    check(function)


def test_a_channel_shuffle_ties_its_groups():
    def shuffle(y):
        y = tf.transpose(tf.reshape(y, [-1, 8, 8, 2, 4]), [0, 1, 2, 4, 3])
        return tf.reshape(y, [-1, 8, 8, 8])

    assert check(shuffle).get_layer("first").filters == 4


def test_depth_to_space_ties_the_channels_that_become_one():
    assert check(lambda y: tf.nn.depth_to_space(y, 2)).get_layer("first").filters == 4
    small = check(lambda y: L.Conv2D(3, 3)(tf.nn.depth_to_space(L.Conv2D(12, 1)(y), 2)))
    assert small.get_layer("first").filters == 4


@pytest.mark.parametrize(
    "function",
    [
        lambda y: y[..., ::2],
        lambda y: tf.pad(y, [[0, 0], [0, 0], [0, 0], [2, 2]], mode="SYMMETRIC"),
        lambda y: tf.reshape(y, [4, -1]),
        lambda y: tf.reshape(y, [-1, 8, 4]),  # more samples
        lambda y: tf.roll(y, 1, axis=-1),
    ],
)
def test_what_cannot_be_followed_freezes(function):
    assert Reason.SHAPE in check(function, head=lambda y: y, frozen=True)


@pytest.mark.parametrize(
    "function",
    [
        lambda y: y / tf.cast(tf.shape(y)[-1], tf.float32),
        lambda y: tf.stack(tf.unstack(y, axis=-1), axis=-1),
        lambda y: tf.reshape(L.Flatten()(tf.reshape(y, [-1, 4, 4, 8])), [-1, 4, 128]),
    ],
)
def test_behind_what_cannot_be_followed_the_rest_is_still_exact(function):
    check(lambda y: function(L.Conv2D(8, 1)(y)))


@pytest.mark.parametrize(
    "function",
    [
        lambda y: y * tf.sigmoid(y[..., 3, None]),
        lambda y: y * tf.reduce_max(y[..., 3:4]),
        lambda y: tf.einsum("bhwc,bhw->bc", y, tf.nn.softmax(y[..., -5])),
        lambda y: tf.matmul(
            tf.reshape(y, [-1, 64, 8]),
            tf.nn.softmax(tf.reshape(y, [-1, 64, 8])[..., 3:4], axis=1),
            transpose_a=True,
        )[..., 0],
    ],
)
def test_of_a_channel_that_is_looked_at_alone_only_that_stays(function):
    x = keras.Input((8, 8, 3))
    y = function(L.Conv2D(8, 3, padding="same", name="first")(x))
    model = randomize(keras.Model(x, L.Dense(4)(y)))
    row = spp.analyze(model)[0]
    assert row.groups == 7
    pruned = spp.prune(model, {"first": 0.5}, round_to=1)
    random_probabilities(pruned, settled=True)
    small = spp.shrink(pruned)
    assert small.get_layer("first").filters < 8
    assert relative_error(pruned, small) <= 2e-5


@pytest.mark.parametrize("cut", [lambda y: y[..., 2:], lambda y: y[..., :-2]])
def test_sliced_off_channels_are_read_by_nobody_and_stay(cut):
    small = check(cut, filters=5)
    assert small.get_layer("head").kernel.shape[0] == 3


@pytest.mark.parametrize(
    "function",
    [
        lambda y: y[:, ::2, 1:],
        lambda y: y[:, 2:-2, 3:-3],
        lambda y: tf.nn.depth_to_space(y, 2),
        lambda y: tf.nn.space_to_depth(y, 2),
        lambda y: tf.image.resize(y, tf.shape(y)[1:3] // 2),
        lambda y: L.Reshape((-1, 8))(y)[:, None],
    ],
)
def test_an_open_image_size_does_not_stop_what_moves_in_space(function):
    x = keras.Input((None, None, 3))
    y = function(L.Conv2D(8, 3, padding="same", name="first")(x))
    model = randomize(keras.Model(x, L.Dense(4)(y)))
    pruned = spp.prune(model, {"first": 0.5}, round_to=1)
    pruner = spp.Pruner(pruned)
    pruner.set_probabilities(np.arange(len(pruner.sets.of_group)) % 2)
    small = spp.shrink(pruned)
    assert small.get_layer("first").filters == 4
    x = np.random.default_rng(0).normal(size=(2, 8, 12, 3)).astype("float32")
    np.testing.assert_allclose(pruned(x), small(x), rtol=1e-5, atol=1e-5)


def test_a_fixed_batch_is_followed():
    x = keras.Input(batch_shape=(4, 8, 8, 3))
    y = tf.nn.depth_to_space(L.Conv2D(32, 3, padding="same", name="first")(x), 2)
    y = tf.transpose(tf.reshape(y, [4, 16, 16, 2, 4]), [0, 1, 2, 4, 3])
    y = tf.reshape(y, [4, 16, 16, 8])
    (row, *_) = spp.analyze(keras.Model(x, L.Dense(4)(y)))
    assert row.prunable and row.groups == 4
