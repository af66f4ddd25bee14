"""Which layers make class probabilities, and the logits of these."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from keras_spp.core.kinds import is_a
from keras_spp.frameworks.keras3 import private
from keras_spp.frameworks.keras3.graph import is_graph, unwrap

_GIVEN_ON = ("Cast", "Copy", "Dropout", "Identity", "Reshape", "StopGradient")


def is_softmax(function: Any) -> bool:
    """Returns whether an activation is a softmax."""
    return function is keras.activations.softmax


def ends_in_softmax(output: Any) -> bool:
    """Returns whether an output of a functional model holds probabilities, not logits."""
    called, call, place = private.origin(output)
    while is_graph(called) or _passes_on(unwrap(called)):
        if is_graph(called):  # a nested model
            output = called.outputs[place]
        else:
            output = private.call_of(called, call).input_tensors[0]
        called, call, place = private.origin(output)
    layer = unwrap(called)
    while isinstance(layer, keras.layers.TimeDistributed):
        layer = unwrap(layer.layer)
    functions = [getattr(layer, name, None) for name in ("activation", "function")]
    return is_a(layer, "Softmax") or any(map(is_softmax, functions))  # of layers and of functions


def logits_of(model: keras.Model) -> Callable[[Any], list[Any]]:
    """Returns a function that picks the outputs of floats, flat, as logits.

    Args:
        model: A functional or Sequential model.

    Returns:
        A function of the model's outputs. Of probabilities that a softmax makes it returns the
        logarithms, float32; the others stay as they are.
    """
    softmax = [ends_in_softmax(output) for output in model.outputs]

    def logits(outputs: Any) -> list[Any]:
        return [
            keras.ops.log(keras.ops.maximum(keras.ops.cast(x, "float32"), 1e-7))
            if is_probability
            else x
            for x, is_probability in zip(keras.tree.flatten(outputs), softmax, strict=True)
            if keras.backend.is_float_dtype(keras.backend.standardize_dtype(x.dtype))
        ]

    return logits


def _passes_on(layer: Any) -> bool:
    """Returns whether a layer only gives on what it gets, as one that casts or reshapes it."""
    linear = is_a(layer, "Activation") and layer.activation is keras.activations.linear
    return linear or is_a(layer, *_GIVEN_ON)
