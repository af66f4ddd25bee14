"""Layers called alone, on arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_spp.frameworks.tf_keras import private
from keras_spp.frameworks.tf_keras.clone import clone_layer


def before_activation(layer: keras.layers.Layer, x: np.ndarray) -> np.ndarray:
    """Returns what a layer makes of an array in inference, without the activation inside it."""
    inputs = tf.constant(x)
    if not is_linear(layer):
        plain = clone_layer(layer)
        plain.activation = keras.activations.linear
        plain(inputs)  # makes its weights
        plain.set_weights(layer.get_weights()[: len(plain.weights)])
        layer = plain
    with private.losses_as_they_were(layer):
        return layer(inputs).numpy()


def output_shape(layer: keras.layers.Layer, shape: Sequence[int]) -> tuple[int, ...]:
    """Returns the shape of what a layer makes of an input of a shape."""
    return tuple(layer.compute_output_shape(tuple(shape)))


def is_linear(layer: keras.layers.Layer) -> bool:
    """Tells whether a layer has no activation inside."""
    return getattr(layer, "activation", None) in (None, keras.activations.linear)
