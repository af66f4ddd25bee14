"""Initializers of a copy of a tf_keras layer whose weights get other sizes than the original's."""

from __future__ import annotations

import tensorflow as tf
import tf_keras as keras

from keras_spp.frameworks import initial_values
from keras_spp.frameworks.initial_values import Library
from keras_spp.frameworks.tf_keras import private

_LIBRARY = Library(
    keras.initializers,
    tf.convert_to_tensor,
    tf.zeros,
    private.backward_config,
    private.replace_backward_config,
)


def build_in_any_size(layer: keras.layers.Layer) -> None:
    """Makes a new layer replace, when it is built, the initializers that fail for its sizes."""
    initial_values.build_in_any_size(layer, _LIBRARY)
