"""Rebuilds a tf_keras model of new layers, and fills them with the old weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_spp.frameworks import rebuilding
from keras_spp.frameworks.rebuilding import EditCall, MakeLayer
from keras_spp.frameworks.tf_keras import graph, private
from keras_spp.frameworks.tf_keras.function_layers import variables_in_calls
from keras_spp.frameworks.tf_keras.graph import layers, nodes


def rebuild(
    model: keras.Model, make_layer: MakeLayer, edit_call: EditCall | None = None
) -> keras.Model:
    """Rebuilds a model of new layers in the same graph.

    Args:
        model: A functional or Sequential model, never modified.
        make_layer: Returns the new layer for an old one (called once per layer, inputs included;
            nested models are rebuilt with the same function).
        edit_call: Receives (layer, args, kwargs) of each call and returns the arguments to use.

    Returns:
        A new model of the same class where that class has a functional constructor.
    """
    return _Rebuilding(model, make_layer, edit_call).model(model)


class _Rebuilding(rebuilding.Rebuilding):
    """The new layers of a tf_keras model."""

    graph = graph

    def variables_in_calls(self, model: keras.Model) -> Iterator[Any]:
        """Yields the variables with which functions are called, perhaps a layer's."""
        return (variable for layer in layers(model) for variable in variables_in_calls(layer))

    def finished(self, part: keras.Model, result: keras.Model) -> keras.Model:
        """Gives a new model the old one's own flag."""
        private.share_trainable(result, part)
        return result

    def is_sequential(self, part: keras.Model) -> bool:
        """Tells whether a model is Sequential."""
        return isinstance(part, keras.Sequential)

    def sequential(self, part: keras.Sequential) -> keras.Sequential:
        """Returns the new model for a Sequential one."""
        copies = [self.layer(tensor.node.layer) for tensor in part.inputs]
        result = keras.Sequential([*copies, *map(self.layer, part.layers)], name=part.name)
        for layer in part.layers:
            self.remember_tied(layer)
        return result

    def input_layer(self, tensor: Any) -> keras.layers.InputLayer:
        """Returns the layer that a model's input comes from."""
        return tensor.node.layer

    def call(self, layer: Any, args: tuple, kwargs: dict[str, Any]) -> tuple[Any, Any]:
        """Calls a new layer; returns the outputs, and the call as Keras remembers it."""
        return layer(*args, **kwargs), layer.inbound_nodes[-1]

    def put_together(
        self, part: keras.Model, lookup: Callable[[Any], Any], calls: list[tuple[Any, Any]]
    ) -> keras.Model:
        """Returns the new model for a functional one, of its class if that can be."""
        kind = type(part) if private.has_functional_like_constructor(type(part)) else keras.Model
        inputs, outputs = private.structures(part)
        result = kind(
            tf.nest.map_structure(lookup, inputs),
            tf.nest.map_structure(lookup, outputs),
            name=part.name,
        )
        reached = set(map(id, nodes(result))) | _ids_of_ancestors(part.outputs)
        # Calls of add_loss; not those for an argument that a function lost when it became a layer.
        if side_calls := [new for old, new in calls if not {id(old), id(new)} & reached]:
            private.add_calls(result, side_calls)
        return result

    def repeated(self, layer: Any, inner: Any) -> Any:
        """Returns a layer that repeats a new layer in time as an old one repeats the old one."""
        return type(layer)(inner, **keras.layers.Layer.get_config(layer))


def _ids_of_ancestors(tensors: list[Any]) -> set[int]:
    """Returns the ids of all calls that these tensors depend on."""
    ids: set[int] = set()
    pending = [tensor.node for tensor in tensors]
    while pending:
        node = pending.pop()
        if id(node) not in ids:
            ids.add(id(node))
            pending.extend(node.parent_nodes)
    return ids


def copy_weights(
    model: keras.Model,
    rebuilt: keras.Model,
    value: Callable[[keras.layers.Layer, tf.Variable], np.ndarray] = lambda _, v: v.numpy(),
) -> None:
    """Fills a rebuilt model with the old weights, which `value(layer, variable)` may change."""
    rebuilding.fill(graph, model, rebuilt, value)


def declare_inputs(model: keras.Model) -> None:
    """Updates the `input_shape` that a layer's config declares to the rebuilt model's."""
    for layer in layers(model):
        declared = private.declared_input_shape(layer) or ()
        tensors = layer.inbound_nodes[0].keras_inputs if layer.inbound_nodes else []
        # `input_dim` tells the last of several dimensions.
        if len(tensors) == 1 and 1 < len(declared) <= len(tensors[0].shape):
            sizes = zip(declared[1:], tensors[0].shape[1 - len(declared) :], strict=True)
            shape = (declared[0], *(size and actual for size, actual in sizes))
            private.declare_input_shape(layer, shape)
