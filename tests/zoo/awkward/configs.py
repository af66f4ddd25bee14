"""Layers whose configs depend on sizes."""

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tests.zoo.awkward.registry import conv, head, on, own, unit
from tests.zoo.models import L


def constant(*shape):
    """An initializer of one size."""
    values = np.random.default_rng(0).normal(size=shape).astype("float32")
    return keras.initializers.Constant(values)


class Table(keras.initializers.Initializer):
    """What it was given, whatever it is asked for."""

    def __init__(self, values):
        self.values = list(values)

    def __call__(self, shape, dtype=None, **kwargs):
        return tf.constant(self.values, dtype)

    def get_config(self):
        return {"values": self.values}


class PerChannel(keras.regularizers.Regularizer):
    """A penalty of its own for each channel."""

    def __init__(self, factors):
        self.factors = list(factors)

    def __call__(self, weight):
        return 1e-4 * tf.reduce_sum(tf.constant(self.factors, weight.dtype) * tf.square(weight))

    def get_config(self):
        return {"factors": self.factors}


@own(Table)
@on()
def initializers_of_one_size(x):
    x = conv(x, 16, kernel_initializer=constant(3, 3, 3, 16), bias_initializer=constant(16))
    x = L.PReLU(shared_axes=[1, 2], alpha_initializer=constant(1, 1, 16))(x)
    x = L.BatchNormalization(gamma_initializer=constant(16), beta_initializer=Table([0.5] * 16))(x)
    x = L.SeparableConv2D(24, 3, pointwise_initializer=constant(1, 1, 16, 24))(x)
    return head(L.Dense(16, "relu", bias_initializer=Table([0.1] * 16))(x))


@on(12, dtype="int32")
def given_word_vectors(x):
    y = L.Embedding(10, 24, embeddings_initializer=constant(10, 24), mask_zero=True)(x)
    y = L.Bidirectional(L.LSTM(16, kernel_initializer=constant(24, 64), return_sequences=True))(y)
    return L.Dense(3)(L.RNN([L.GRUCell(16, bias_initializer=constant(2, 48)), L.LSTMCell(8)])(y))


@own(PerChannel)
@on()
def penalty_of_each_channel(x):
    """Its layer keeps them all."""
    x = conv(unit(x, 32), 16, kernel_regularizer=PerChannel(range(16)), activation="relu")
    return head(unit(unit(x, 32), 24))


@on(12, 5)
def encoder_and_decoder_of_cells(x):
    def cells(**options):
        return L.RNN([L.LSTMCell(16), L.GRUCell(12)], return_sequences=True, **options)

    y, *state = cells(return_state=True)(L.Conv1D(16, 3, activation="relu")(x))
    return L.Dense(3)(cells()(L.Dense(16, "relu")(y), initial_state=state))


@on(10, 8)
def projections_written_as_equations(x):
    y = L.EinsumDense("abc,cde->abde", (None, 4, 16), bias_axes="de", activation="relu")(x)
    y = L.EinsumDense("abde,def->abf", (None, 24), bias_axes="f")(y)
    y = L.EinsumDense("...x,xy->...y", 16, activation="gelu")(L.BatchNormalization()(y))
    return L.Dense(3)(L.Flatten()(y))


@on()
def generator_of_functions(x):
    """Written with functions, whose sizes are computed from the batch."""
    kernels = np.random.default_rng(0).normal(size=(2, 3, 3, 16, 16)).astype("float32") / 12
    y = unit(unit(x, 16, strides=2), 16, strides=2)
    for size, kernel in zip((8, 16), kernels, strict=True):
        y = tf.nn.conv2d_transpose(y, kernel, [tf.shape(y)[0], size, size, 16], 2)
        y = tf.nn.relu(L.experimental.SyncBatchNormalization()(y))
    return conv(y, 3)
