"""Which layers make class probabilities, and the logits of these."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tf_keras as keras

from keras_spp.frameworks.tf_keras.models import is_graph
from keras_spp.frameworks.tf_keras.wrapper import unwrap

_FUNCTIONS = (keras.activations.softmax, tf.nn.softmax)


def is_softmax(function: Any) -> bool:
    """Returns whether an activation is a softmax."""
    return any(function is softmax for softmax in _FUNCTIONS)


def ends_in_softmax(output: Any) -> bool:
    """Returns whether an output of a functional model holds probabilities, not logits."""
    layer = unwrap(output.node.layer)
    while is_graph(layer) or _passes_on(layer):
        if is_graph(layer):  # a nested model
            place = [id(x) for x in tf.nest.flatten(output.node.outputs)].index(id(output))
            output = layer.outputs[place]
        else:
            output = tf.nest.flatten(output.node.keras_inputs)[0]
        layer = unwrap(output.node.layer)
    while isinstance(layer, keras.layers.TimeDistributed):
        layer = unwrap(layer.layer)
    functions = [getattr(layer, name, None) for name in ("activation", "function")]
    return isinstance(layer, keras.layers.Softmax) or any(map(is_softmax, functions))


def logits_of(model: keras.Model) -> Callable[[Any], list[tf.Tensor]]:
    """Returns a function that picks the outputs of floats, flat, as logits.

    Args:
        model: A functional or Sequential model.

    Returns:
        A function of the model's outputs. Of probabilities that a softmax makes it returns the
        logarithms, float32; the others stay as they are.
    """
    softmax = [ends_in_softmax(output) for output in model.outputs]

    def logits(outputs: Any) -> list[tf.Tensor]:
        return [
            tf.math.log(tf.maximum(tf.cast(x, tf.float32), 1e-7)) if is_probability else x
            for x, is_probability in zip(tf.nest.flatten(outputs), softmax, strict=True)
            if tf.as_dtype(x.dtype).is_floating
        ]

    return logits


def _passes_on(layer: Any) -> bool:
    """Returns whether a layer only gives on what it gets, as one that casts or reshapes it."""
    kinds = (keras.layers.Reshape, keras.layers.Dropout)
    linear = isinstance(layer, keras.layers.Activation) and (
        layer.activation is keras.activations.linear
    )
    return isinstance(layer, kinds) or linear
