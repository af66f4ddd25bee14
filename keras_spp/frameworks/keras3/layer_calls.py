"""Layers called alone, on arrays."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from keras_spp.frameworks.keras3.clone import clone
from keras_spp.frameworks.keras3.graph import infer


def before_activation(layer: keras.layers.Layer, x: np.ndarray) -> np.ndarray:
    """Returns what a layer makes of an array in inference, without the activation inside it."""
    inputs = keras.ops.convert_to_tensor(x)
    if not is_linear(layer):
        plain = clone(layer)
        plain.activation = keras.activations.linear
        plain(inputs)  # makes its weights
        plain.set_weights(layer.get_weights()[: len(plain.weights)])
        layer = plain
    (outputs,) = infer(layer, (inputs,), {})
    return keras.ops.convert_to_numpy(outputs)


def output_shape(layer: keras.layers.Layer, shape: Sequence[int]) -> tuple[int, ...]:
    """Returns the shape of what a layer makes of an input of a shape."""
    return tuple(layer.compute_output_shape(tuple(shape)))


def is_linear(layer: keras.layers.Layer) -> bool:
    """Tells whether a layer has no activation inside."""
    return getattr(layer, "activation", None) in (None, keras.activations.linear)
