"""Rebuilds a Keras 3 model of new layers, and fills them with the old weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from keras_spp.frameworks import rebuilding
from keras_spp.frameworks.keras3 import graph, private
from keras_spp.frameworks.keras3.variables import read
from keras_spp.frameworks.rebuilding import EditCall, MakeLayer


def rebuild(
    model: keras.Model, make_layer: MakeLayer, edit_call: EditCall | None = None
) -> keras.Model:
    """Rebuilds a model of new layers in the same graph.

    Args:
        model: A functional or Sequential model, never modified.
        make_layer: Returns the new layer, or function, for an old one (called once for each,
            inputs included; nested models are rebuilt with the same function).
        edit_call: Receives (layer, args, kwargs) of each call and returns the arguments to use.

    Returns:
        A new model of the same class where that class has a functional constructor.
    """
    return _Rebuilding(model, make_layer, edit_call).model(model)


class _Rebuilding(rebuilding.Rebuilding):
    """The new layers and functions of a Keras 3 model."""

    graph = graph

    def variables_in_calls(self, model: keras.Model) -> Iterator[Any]:
        """Yields the variables with which functions are called, perhaps a layer's."""
        for node in graph.nodes(model):
            if graph.is_graph(node.layer):
                yield from self.variables_in_calls(node.layer)
            elif graph.is_function(node.layer):
                arguments = keras.tree.flatten((node.call_args, dict(node.call_kwargs)))
                yield from (value for value in arguments if isinstance(value, keras.Variable))

    def finished(self, part: keras.Model, result: keras.Model) -> keras.Model:
        """Gives a new model the old one's own flag."""
        private.share_trainable(result, part)
        return result

    def is_sequential(self, part: keras.Model) -> bool:
        """Tells whether a model is Sequential."""
        return isinstance(part, keras.Sequential)

    def sequential(self, part: keras.Sequential) -> keras.Sequential:
        """Returns the new model for a Sequential one."""
        first = self.layer(graph.input_layer(part.inputs[0]))
        result = keras.Sequential([first, *map(self.layer, part.layers)], name=part.name)
        for layer in part.layers:
            self.remember_tied(layer)
        return result

    def input_layer(self, tensor: Any) -> keras.layers.InputLayer:
        """Returns the layer that a model's input comes from."""
        return graph.input_layer(tensor)

    def call(self, layer: Any, args: tuple, kwargs: dict[str, Any]) -> tuple[Any, Any]:
        """Calls a new layer; returns the outputs."""
        return layer(*args, **kwargs), None

    def put_together(
        self, part: keras.Model, lookup: Callable[[Any], Any], calls: list[tuple[Any, Any]]
    ) -> keras.Model:
        """Returns the new model for a functional one, of its class if that can be."""
        kind = type(part) if private.functional_like_constructor(type(part)) else keras.Model
        inputs, outputs = (
            keras.tree.map_structure(lookup, structure) for structure in private.structures(part)
        )
        return kind(inputs, outputs, name=part.name)

    def repeated(self, layer: Any, inner: Any) -> Any:
        """Returns a layer that repeats a new layer in time as an old one repeats the old one."""
        return type(layer)(inner, **keras.layers.Layer.get_config(layer))


def copy_weights(
    model: keras.Model,
    rebuilt: keras.Model,
    value: Callable[[Any, Any], np.ndarray] = lambda _, variable: read(variable),
) -> None:
    """Fills a rebuilt model with the old weights, which `value(layer, variable)` may change."""
    rebuilding.fill(graph, model, rebuilt, value)


def declare_inputs(model: keras.Model) -> None:
    """Does nothing: configs of Keras 3's layers do not repeat the shape of their input."""
