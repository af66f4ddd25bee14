"""Checks of models: only those whose graph of layers defines what they compute can be read."""

from __future__ import annotations

from typing import Any

import keras

from keras_spp.frameworks.keras3 import private


def check(model: Any, argument: str = "model") -> None:
    """Raises TypeError or ValueError unless this is a model whose graph of layers can be read.

    Args:
        model: An object of a class of Keras 3, or of the user's.
        argument: The name of the argument, for the message.

    Raises:
        TypeError: If it is no model.
        ValueError: If it is a subclassed model or has not been built.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(
            f"`{argument}` must be a Keras model, Sequential or functional, but is a "
            f"{type(model).__module__}.{type(model).__qualname__}."
        )
    if isinstance(model, keras.Sequential) and not is_graph_network(model):
        raise ValueError(
            f"`{argument}` is the Sequential model {model.name!r} without a known input shape: "
            "start it with keras.layers.Input(shape) or call its build(input_shape) first."
        )
    if not is_graph(model):
        raise ValueError(
            f"`{argument}` is the subclassed model {model.name!r}, whose call() hides how its "
            "layers are connected: rebuild it with the functional API, "
            "keras.Model(inputs, outputs)."
        )


def is_graph_network(model: Any) -> bool:
    """Tells whether something holds the graph of its layers' calls."""
    return private.functional(model) is not None


def is_graph(layer: Any) -> bool:
    """Tells whether a layer is a model whose graph of layers defines what it computes."""
    return is_graph_network(layer) and not _overrides_call(layer)


def _overrides_call(model: Any) -> bool:
    """Tells whether a user's call() defines what a model computes, not the graph of layers."""
    owner = next(cls for cls in type(model).__mro__ if "call" in vars(cls))
    return not owner.__module__.startswith("keras.")
