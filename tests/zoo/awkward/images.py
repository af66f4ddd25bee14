"""Networks from images to images."""

import tensorflow as tf
import tf_keras as keras

from tests.zoo.awkward.registry import conv, head, model, on, own, unit
from tests.zoo.models import L


@on()
def pixel_shuffle(x):
    x = unit(x, 24)
    y = tf.nn.depth_to_space(conv(x + conv(x, 24), 64), 2)
    return tf.nn.depth_to_space(conv(L.ReLU()(y), 3 * 4), 2)


@on()
def space_to_depth_input(x):
    x = unit(unit(tf.nn.space_to_depth(x, 2), 16), 24)
    x = unit(tf.nn.space_to_depth(x, 2), 16)
    return head(unit(L.Concatenate()([x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)]), 24))


@on()
def autoencoder(x):
    y = conv(conv(x, 16, strides=2, activation="relu"), 24, strides=2, activation="relu")
    y = L.Dense(16, name="code")(L.Flatten()(y))
    y = L.Reshape((4, 4, 24))(L.Dense(4 * 4 * 24, "relu")(y))
    y = L.Conv2DTranspose(16, 3, strides=2, padding="same", activation="relu")(y)
    return L.Conv2DTranspose(3, 3, strides=2, padding="same", activation="sigmoid")(y)


class Sampling(L.Layer):
    """Draws around the mean in training."""

    def call(self, inputs, training=None):
        mean, log = inputs
        self.add_loss(tf.reduce_mean(tf.square(mean) + tf.exp(log) - log))
        return mean + tf.random.normal(tf.shape(mean)) * tf.exp(log / 2) if training else mean


@own(Sampling)
@on()
def variational_autoencoder(x):
    y = L.Flatten()(unit(unit(x, 16, strides=2), 24, strides=2))
    y = L.Dense(32, "relu")(y)
    z = Sampling()([L.Dense(8)(y), L.Dense(8)(y)])
    y = L.Reshape((4, 4, 24))(L.Dense(4 * 4 * 24, "relu")(z))
    y = L.Conv2DTranspose(16, 3, strides=4, padding="same", activation="relu")(y)
    return [conv(y, 3, activation="sigmoid"), z]


@model
def loss_on_a_tensor():
    x = keras.Input((16, 16, 3))
    y = unit(x, 16)
    result = keras.Model(x, head(unit(y, 24)))
    result.add_loss(tf.reduce_mean(tf.square(y)))
    return result
