"""Rebuilds a model of new layers, and fills them with the old weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_spp.frameworks.tf_keras import private
from keras_spp.frameworks.tf_keras.function_layers import variables_in_calls
from keras_spp.frameworks.tf_keras.graph import is_repeated, layers, nodes
from keras_spp.frameworks.tf_keras.models import is_graph
from keras_spp.frameworks.tf_keras.wrapper import unwrap

MakeLayer = Callable[[keras.layers.Layer], keras.layers.Layer]
EditCall = Callable[[Any, tuple, dict], tuple[tuple, dict]]


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


class _Rebuilding:
    """The new layers of a model and of those nested in it, each made once."""

    def __init__(
        self, model: keras.Model, make_layer: MakeLayer, edit_call: EditCall | None
    ) -> None:
        self.make_layer, self.edit_call = make_layer, edit_call
        self.made: dict[int, Any] = {}
        self.tied = {id(tied) for layer in layers(model) for tied in variables_in_calls(layer)}
        self.variables: dict[int, Any] = {}  # the new variable by the id of the old one

    def model(self, part: keras.Model) -> keras.Model:
        """Returns the new model for one of the old ones."""
        result = self._sequential(part) if isinstance(part, keras.Sequential) else self._graph(part)
        private.share_trainable(result, part)
        return result

    def _sequential(self, part: keras.Sequential) -> keras.Sequential:
        copies = [self._layer(tensor.node.layer) for tensor in part.inputs]
        result = keras.Sequential([*copies, *map(self._layer, part.layers)], name=part.name)
        for layer in part.layers:
            self._remember_tied(layer)
        return result

    def _graph(self, part: keras.Model) -> keras.Model:
        copies = [self._layer(tensor.node.layer) for tensor in part.inputs]
        tensors = {id(old): copy.output for old, copy in zip(part.inputs, copies, strict=True)}
        calls = []

        def lookup(argument: Any) -> Any:
            return tensors.get(id(argument), self.variables.get(id(argument), argument))

        for node in nodes(part):
            args, kwargs = tf.nest.map_structure(
                lookup, (tuple(node.call_args), dict(node.call_kwargs))
            )
            if self.edit_call is not None:
                args, kwargs = self.edit_call(node.layer, args, kwargs)
            layer = self._layer(node.layer)
            outputs = layer(*args, **kwargs)
            calls.append((node, layer.inbound_nodes[-1]))
            self._remember_tied(node.layer)
            tensors.update(
                zip(map(id, tf.nest.flatten(node.outputs)), tf.nest.flatten(outputs), strict=True)
            )
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

    def _layer(self, layer: keras.layers.Layer) -> Any:
        if id(layer) not in self.made:
            self.made[id(layer)] = self._make(layer)
        return self.made[id(layer)]

    def _make(self, layer: Any) -> Any:
        if is_graph(layer):
            return self.model(layer)
        if is_repeated(layer):
            config = keras.layers.Layer.get_config(layer)
            return type(layer)(self._layer(layer.layer), **config)
        return self.make_layer(layer)

    def _remember_tied(self, layer: Any) -> None:
        copy = self.made[id(layer)]
        if self.tied and not is_graph(layer) and not is_graph(copy):
            pairs = zip(unwrap(layer).weights, unwrap(copy).weights, strict=False)
            self.variables.update((id(old), new) for old, new in pairs if id(old) in self.tied)


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
    for old, new in zip(layers(model), layers(rebuilt), strict=True):
        old, new = unwrap(old), unwrap(new)
        if not old.weights:
            continue
        values = [value(old, variable) for variable in old.weights]
        try:
            new.set_weights(values)
        except ValueError as error:
            raise ValueError(
                f"`model` has a layer {old.name!r} ({type(old).__name__}) whose copy has weights "
                f"of other shapes than it should ({error}): its rule must resize every entry of "
                f"the config that depends on its channels."
            ) from error
        if hasattr(new, "finalize_state"):  # preprocessing layers derive tensors from weights
            new.finalize_state()


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
