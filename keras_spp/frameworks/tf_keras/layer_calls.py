"""Layers called alone, on arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_spp.frameworks.tf_keras import private


def called(layer: keras.layers.Layer, x: np.ndarray) -> np.ndarray:
    """Returns what a layer makes of an array in inference."""
    with private.losses_as_they_were(layer):
        return layer(tf.constant(x)).numpy()


def activated(layer: keras.layers.Layer, x: np.ndarray) -> np.ndarray:
    """Returns what the activation inside a layer makes of an array."""
    x = tf.cast(x, layer.compute_dtype)
    return tf.convert_to_tensor(layer.activation(x)).numpy()


def output_shape(layer: keras.layers.Layer, shape: Sequence[int]) -> tuple[int, ...]:
    """Returns the shape of what a layer makes of an input of a shape."""
    return tuple(layer.compute_output_shape(tuple(shape)))


def is_linear(layer: keras.layers.Layer) -> bool:
    """Tells whether a layer has no activation inside."""
    return getattr(layer, "activation", None) in (None, keras.activations.linear)
