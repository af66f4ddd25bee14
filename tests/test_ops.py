"""TensorFlow functions on Keras tensors."""

import numpy as np
import pytest
import tensorflow as tf
from models import L
from test_layer_rules import check

from keras_spp.channels import Reason

VECTOR = np.linspace(-1, 1, 8).astype("float32")


@pytest.mark.parametrize(
    "function",
    [
        lambda y: y + 1.0,
        lambda y: 1.0 - y,
        lambda y: y * 2.0 / 3.0,
        lambda y: -y,
        lambda y: abs(y) ** 2.0,
        lambda y: y * VECTOR + tf.constant(VECTOR),
        lambda y: VECTOR * y,
        lambda y: y - VECTOR.reshape(1, 1, 1, 8),
        lambda y: tf.nn.relu(y),
        lambda y: tf.nn.relu6(y + 3.0) / 6.0 * y,
        lambda y: tf.sigmoid(y) * tf.tanh(y),
        lambda y: tf.clip_by_value(y, -1.0, 1.0),
        lambda y: tf.cast(tf.cast(y, tf.float64), tf.float32),
        lambda y: tf.maximum(y, 0.1),
        lambda y: tf.concat([y, tf.nn.relu(y)], -1),
        lambda y: tf.concat([y, y], 1),
        lambda y: tf.pad(y, [[0, 0], [1, 1], [2, 0], [0, 0]]),
        lambda y: tf.pad(y, [[0, 0], [0, 0], [0, 0], [2, 3]], constant_values=0.7),
        lambda y: tf.pad(y, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="REFLECT"),
        lambda y: y[:, ::2, 1:, :],
        lambda y: tf.concat(tf.split(y, [2, 5, 1], axis=3)[::-1], -1),
        lambda y: tf.concat(tf.split(y, 2, axis=1), -1),
        lambda y: tf.split(y, 2, axis=-1)[0] * tf.split(y, 2, axis=-1)[1],
        lambda y: tf.reshape(y, [-1, 64, 8]),
        lambda y: tf.reshape(y, (-1, 8 * 8 * 8)),
        lambda y: tf.transpose(y, [0, 2, 1, 3]),
        lambda y: tf.reduce_mean(y, [1, 2]),
        lambda y: tf.reduce_max(y, axis=[1, 2], keepdims=True) + y,
        lambda y: tf.squeeze(tf.reduce_sum(y, [1, 2], keepdims=True), [1, 2]),
        lambda y: tf.expand_dims(y, 1),
        lambda y: tf.reverse(y, [-1]),
        lambda y: tf.tile(y, [1, 1, 1, 2]),
        lambda y: tf.nn.space_to_depth(y, 2),
        lambda y: y * tf.sigmoid(L.Conv2D(1, 1)(y)),
    ],
)
def test_a_function_that_keeps_channels_apart_shrinks_exactly(function):
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


def test_arithmetic_between_branches_ties_them():
    small = check(lambda y: y + L.Conv2D(8, 1, name="second")(y) * y)
    assert small.get_layer("second").filters == 4


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda y: tf.reduce_mean(y, -1, keepdims=True), Reason.MIXES),
        (lambda y: tf.reduce_sum(y), Reason.MIXES),
        (lambda y: tf.nn.softmax(y), Reason.UNKNOWN),
        (lambda y: tf.matmul(y, y, transpose_b=True), Reason.UNKNOWN),
        (lambda y: y[..., ::2], Reason.SHAPE),
        (lambda y: y[..., 3], Reason.SHAPE),
        (lambda y: y[:1], Reason.SHAPE),
        (lambda y: tf.pad(y, [[0, 0], [0, 0], [0, 0], [2, 2]], mode="SYMMETRIC"), Reason.SHAPE),
        (lambda y: tf.reshape(y, [4, -1]), Reason.SHAPE),
    ],
)
def test_what_cannot_be_followed_freezes(function, reason):
    assert reason in check(function, head=lambda y: y, frozen=True)


@pytest.mark.parametrize(
    "function",
    [
        lambda y: tf.reshape(y, tf.shape(y)),
        lambda y: L.Conv2D(1, 1)(y)[..., :1] * VECTOR,
        lambda y: tf.stack(tf.unstack(y, axis=-1), axis=-1),
    ],
)
def test_behind_what_cannot_be_followed_the_rest_is_still_exact(function):
    check(lambda y: function(L.Conv2D(8, 1)(y)))


@pytest.mark.parametrize("cut", [lambda y: y[..., 2:], lambda y: y[..., :-2]])
def test_sliced_off_channels_are_read_by_nobody_and_stay(cut):
    small = check(cut, filters=5)
    assert small.get_layer("head").kernel.shape[0] == 3
