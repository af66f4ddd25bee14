"""TensorFlow functions on Keras tensors."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from keras_spp.core.channels import Reason
from tests.rules.test_channelwise import check
from tests.zoo.models import L

VECTOR = np.linspace(-1, 1, 8).astype("float32")


def dilated(y):
    return tf.nn.dilation2d(y, np.ones((3, 3, 8), "f"), [1] * 4, "SAME", "NHWC", [1] * 4)


def fused(y):
    statistics = VECTOR, abs(VECTOR)
    return tf.compat.v1.nn.fused_batch_norm(y, VECTOR, VECTOR, *statistics, is_training=False)[0]


@pytest.mark.parametrize(
    "function",
    [
        lambda y: y + 1.0,
        lambda y: 1.0 - y,
        lambda y: y * 2.0 / 3.0,
        lambda y: -y,
        lambda y: abs(y) ** 2.0,
        lambda y: abs(y) ** np.linspace(1, 2, 8).tolist(),
        lambda y: y * VECTOR + tf.constant(VECTOR),
        lambda y: VECTOR * y,
        lambda y: y - VECTOR.reshape(1, 1, 1, 8),
        lambda y: tf.nn.bias_add(y, VECTOR),
        lambda y: tf.nn.batch_normalization(y, VECTOR, abs(VECTOR) + 1, None, None, 1e-3),
        lambda y: tf.nn.relu(y),
        lambda y: tf.nn.relu6(y + 3.0) / 6.0 * y,
        lambda y: tf.sigmoid(y) * tf.tanh(y),
        lambda y: tf.clip_by_value(y, -1.0, 1.0),
        lambda y: tf.clip_by_value(y, [-1.0] * 8, VECTOR.tolist()),
        lambda y: tf.cast(tf.cast(y, tf.float64), tf.float32),
        lambda y: tf.maximum(y, 0.1),
        lambda y: tf.where(y > 0, y, 0.1 * y),
        lambda y: y * tf.cast(y > 0.0, tf.float32),
        lambda y: tf.add_n([y, y, 2.0 * y]),
        lambda y: tf.zeros_like(y) + y,
        lambda y: tf.reduce_mean(y, [1, 2]),
        lambda y: tf.reduce_max(y, axis=[1, 2], keepdims=True) + y,
        lambda y: y - tf.nn.moments(y, [1, 2], keepdims=True)[0],
        lambda y: tf.nn.softmax(y, axis=1),
        lambda y: tf.math.l2_normalize(y, (1, 2)),
        lambda y: tf.nn.max_pool2d(y, 2, 2, "SAME"),
        lambda y: tf.nn.avg_pool(y, 2, 2, "VALID"),
        lambda y: tf.image.resize(y, (5, 5)),
        lambda y: y * tf.sigmoid(L.Conv2D(1, 1)(y)),
        lambda y: tf.nn.crelu(y),
        lambda y: tf.math.scalar_mul(0.5, y),
        lambda y: y * tf.cast(tf.logical_and(y > 0, tf.logical_not(y > 1)), tf.float32),
        lambda y: tf.cumsum(y, axis=1),
        lambda y: y / (1e-3 + tf.norm(y, axis=[1, 2], keepdims=True)),
        lambda y: tf.einsum("bhwc->bc", y),
        lambda y: tf.nn.pool(y, [2, 2], "MAX", [2, 2]),
        dilated,
        lambda y: tf.compat.v1.image.resize_bilinear(y, [16, 16], align_corners=True),
        lambda y: (
            tf.image.flip_left_right(y) + tf.image.central_crop(tf.tile(y, [1, 2, 2, 1]), 0.5)
        ),
        fused,
        lambda y: keras.backend.switch(y > 0, y, 0.1 * y),
        lambda y: tf.nn.relu(features=y) + tf.add(x=y, y=VECTOR),
        lambda y: y * L.Dense(8, "sigmoid")(tf.reduce_mean(y, [1, 2]))[:, None, None, :],
    ],
)
def test_a_function_that_keeps_channels_apart_shrinks_exactly(function):
    check(function)


def test_arithmetic_between_branches_ties_them():
    small = check(lambda y: y + L.Conv2D(8, 1, name="second")(y) * y)
    assert small.get_layer("second").filters == 4


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda y: tf.reduce_mean(y, -1, keepdims=True), Reason.MIXES),
        (lambda y: tf.reduce_sum(y), Reason.MIXES),
        (lambda y: tf.nn.softmax(y), Reason.MIXES),
        (lambda y: tf.math.l2_normalize(y, -1), Reason.MIXES),
        (lambda y: tf.nn.local_response_normalization(y), Reason.MIXES),
        (lambda y: tf.matmul(y, y, transpose_b=True), Reason.MIXES),
        (lambda y: tf.einsum("bhwc,bhwd->bcd", y, y), Reason.MIXES),
        (lambda y: tf.math.l2_normalize(y), Reason.MIXES),
        (lambda y: tf.nn.max_pool(y, [1, 1, 1, 2], [1, 1, 1, 2], "VALID"), Reason.MIXES),
        (lambda y: tf.numpy_function(np.cumsum, [y], tf.float32), Reason.FUNCTION),
    ],
)
def test_what_mixes_channels_or_is_not_known_freezes_them(function, reason):
    assert reason in check(function, head=lambda y: y, frozen=True)


def test_one_channel_that_meets_many_stays():
    check(lambda y: L.Conv2D(1, 1)(L.Conv2D(8, 1)(y))[..., :1] * VECTOR)


def test_an_outer_product_freezes_both_sides():
    def outer(y):
        y = L.GlobalAveragePooling2D()(y)
        return L.Multiply()([L.Reshape((8, 1))(y), L.Reshape((1, 4))(L.Dense(4)(y))])

    assert Reason.MIXES in check(outer, frozen=True)
