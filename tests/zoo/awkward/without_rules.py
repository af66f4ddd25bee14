"""Layers without a rule."""

import numpy as np
import tensorflow as tf

from tests.zoo.awkward.registry import conv, head, on, own, unit, unloadable
from tests.zoo.models import L


@unloadable("a lambda that refers to something")
@on()
def lambda_in_the_middle(x):
    scale = np.linspace(1, 2, 16).astype("float32")
    x = L.Lambda(lambda x: x * scale)(unit(x, 16))
    return head(unit(unit(x, 24), 16))


class Swap(L.Layer):
    """A layer of the user's own without a rule."""

    def __init__(self, shift=1, **options):
        super().__init__(**options)
        self.shift = shift

    def build(self, shape):
        self.scale = self.add_weight(name="scale", shape=shape[-1:])

    def call(self, x):
        return tf.roll(x, self.shift, -1) * self.scale

    def get_config(self):
        return {**super().get_config(), "shift": self.shift}


@own(Swap)
@on()
def layer_without_a_rule(x):
    return head(unit(Swap(2)(unit(unit(x, 16), 24)), 16))


@own(Swap)
@on(4, 16, 16, 3)
def own_layer_in_a_wrapper(x):
    x = L.TimeDistributed(Swap(1))(x)
    x = L.Conv3D(24, (1, 3, 3), activation="relu")(x)
    return L.Dense(3)(L.GlobalMaxPooling3D()(x))


@unloadable("a layer that keeps a string for an object")
@on()
def spectral_normalization(x):
    x = L.ReLU()(L.SpectralNormalization(L.Conv2D(16, 3))(unit(x, 16)))
    return head(unit(x, 24))


class StandardisedConv2D(L.Conv2D):
    """Weight standardisation: the mean of a filter depends on all of its inputs."""

    def convolution_op(self, inputs, kernel):
        mean, variance = tf.nn.moments(kernel, [0, 1, 2], keepdims=True)
        return super().convolution_op(inputs, (kernel - mean) / tf.sqrt(variance + 1e-10))


@own(StandardisedConv2D)
@on()
def weight_standardisation(x):
    x = L.ReLU()(StandardisedConv2D(24, 3)(unit(unit(x, 16), 16)))
    return head(unit(x, 24))


class Crossed(L.Add):
    """A merge layer of the user's own, which meets every channel with another one."""

    def _merge_function(self, inputs):
        return inputs[0] + inputs[1][..., ::-1]


@own(Crossed)
@on()
def merge_layer_of_the_user(x):
    return head(unit(unit(Crossed()([unit(x, 16), unit(x, 16)]), 24), 16))


class Pointwise(L.Conv2D):
    """A convolution whose constructor has arguments of its own."""

    def __init__(self, channels, **options):
        super().__init__(channels, 1, **options)

    def get_config(self):
        return {**L.Layer.get_config(self), "channels": self.filters}


@own(Pointwise)
@on()
def subclass_with_its_own_constructor(x):
    return head(unit(L.ReLU()(Pointwise(24)(unit(x, 16))), 16))


class AveragedConv2D(L.Conv2D):
    """Remembers the average of its kernel for someone else's use."""

    def build(self, shape):
        super().build(shape)
        self.average = self.add_weight("average", self.kernel.shape, trainable=False)


@own(AveragedConv2D)
@on()
def convolution_with_another_weight(x):
    return head(unit(AveragedConv2D(24, 3, activation="relu")(unit(x, 16)), 16))


@on(8, 8, 3)
def locally_connected(x):
    return head(conv(L.LocallyConnected2D(16, 3, activation="relu")(unit(x, 24)), 16))
