"""Formats, precisions and sizes."""

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tests.zoo.awkward.registry import conv, head, model, on, unit
from tests.zoo.models import L


@on(3, 16, 16)
def channels_first(x):
    options = {"data_format": "channels_first"}
    x = L.Conv2D(16, 3, padding="same", **options)(x)
    x = L.ReLU()(L.BatchNormalization(axis=1)(x))
    x = L.Concatenate(1)([x, L.Conv2D(24, 3, padding="same", **options)(x)])
    x = L.DepthwiseConv2D(3, **options)(L.PReLU(shared_axes=[2, 3])(x))
    return L.Dense(3)(L.Flatten(**options)(L.Conv2D(8, 3, **options)(x)))


@on(3, 16, 16)
def channels_first_between_transposes(x):
    x = unit(tf.transpose(x, [0, 2, 3, 1]), 16)
    x = L.PReLU(shared_axes=[2, 3])(tf.transpose(conv(x, 24), [0, 3, 1, 2]))
    x = L.BatchNormalization(axis=1)(x)
    x = L.Concatenate(1)([x, tf.nn.relu(x)])
    return tf.transpose(conv(L.Permute((2, 3, 1))(x), 4), [0, 3, 1, 2])


@on()
def augmentation(x):
    x = L.RandomContrast(0.1)(L.RandomRotation(0.1)(L.RandomFlip("horizontal")(x)))
    return head(unit(L.CenterCrop(8, 8)(unit(L.Resizing(12, 12)(x), 16)), 24))


@on()
def batch_statistics_in_inference(x):
    """Pix2pix keeps normalisation and dropout in training mode."""
    for filters in (16, 24, 16):
        x = L.LeakyReLU()(L.BatchNormalization()(conv(x, filters), training=True))
    return conv(x, 3, activation="tanh")


@on()
def backend_functions(x):
    K = keras.backend
    x = K.relu(K.spatial_2d_padding(conv(x, 16)))
    y = keras.activations.swish(conv(x, 24)) * keras.activations.hard_sigmoid(conv(x, 24))
    y = K.concatenate([K.mean(y, [1, 2]), K.max(y, [1, 2])])
    return L.Dense(3)(K.expand_dims(y, 1))


@on()
def coordinates_as_channels(x):
    x = unit(x, 24)
    grid = np.stack(np.meshgrid(np.linspace(-1, 1, 16), np.linspace(-1, 1, 16)), -1)
    code = tf.ones_like(x[..., :2]) * grid.astype("float32")
    return head(unit(tf.concat([x, code], -1), 16))


@on()
def double_precision(x):
    options = {"dtype": "float64"}
    x = L.ReLU(**options)(L.Conv2D(16, 3, **options)(x))
    return L.Dense(4, **options)(L.Flatten(**options)(L.Conv2D(24, 3, strides=4, **options)(x)))


@model
def mixed_precision():
    try:
        keras.mixed_precision.set_global_policy("mixed_float16")
        x = keras.Input((16, 16, 3))
        y = L.Add()([y := unit(x, 16), unit(y, 16)]) * 0.5
        y = L.Dense(24, "relu")(L.GlobalAveragePooling2D()(unit(y, 24)))
        return keras.Model(x, L.Dense(4, dtype="float32")(y))
    finally:
        keras.mixed_precision.set_global_policy("float32")


@on(16, 16, 3, dtype="uint8")
def bytes_as_input(x):
    return head(unit(unit(tf.cast(x, tf.float32) / 5.0 - 1.0, 16), 24))


@on(16, 16, 3, batch_size=4)
def static_batch(x):
    x = unit(unit(x, 16), 24)
    x = L.Reshape((256, 24))(x)
    return L.Dense(3)(L.Conv1D(16, 1, activation="relu")(x)[:, 0])


@on(16, 16, 3, batch_size=4)
def static_batch_with_reshape(x):
    x = tf.reshape(unit(unit(x, 16), 24), [4, 256, 24])
    return L.Dense(3)(tf.reduce_mean(L.Dense(16, "relu")(x), 1))


@on(1, 1, 32)
def one_by_one(x):
    x = L.Add()([unit(x, 32, 1), conv(x, 32)])
    return L.Dense(3)(L.Flatten()(conv(L.ReLU()(x), 24)))


@on(1)
def one_input_number(x):
    return L.Dense(1)(L.Dense(16, "relu")(L.Dense(32, "relu")(x)))


@on()
def one_convolution(x):
    return conv(x, 16)


@on(16, 16, 1)
def one_channel_everywhere(x):
    return conv(L.ReLU()(L.BatchNormalization()(conv(x, 1))), 1)


@model
def one_dense_layer():
    return keras.Sequential([keras.Input((16,)), L.Dense(4)])
