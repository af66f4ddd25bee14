"""The graph of a functional or Sequential model: its calls of layers and of functions.

A function of `keras.ops` that is called on symbolic tensors is an `Operation`, which layers are
too. So a node's `layer` may be such a function; `layers` leaves them out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras
from keras.tree import flatten, map_structure, pack_sequence_as

from keras_spp.core.kinds import is_a
from keras_spp.frameworks.keras3 import private
from keras_spp.frameworks.keras3.models import is_graph
from keras_spp.frameworks.keras3.variables import without_gradients
from keras_spp.frameworks.keras3.wrapper import unwrap

__all__ = [
    "Node", "adds", "flatten", "in_reference_order", "infer", "input_layer", "is_function",
    "is_graph", "is_repeated", "layers", "map_structure", "nodes", "operations", "pack_sequence_as",
    "unwrap",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class Node:
    """One call of one operation.

    Attributes:
        layer: The operation: a layer, a model or a function.
        call_args: Its arguments, symbolic tensors among them.
        call_kwargs: Its keyword arguments.
        outputs: The symbolic tensors that it returns, flat.
    """

    layer: Any
    call_args: tuple
    call_kwargs: Mapping[str, Any]
    outputs: list[Any]


def nodes(model: keras.Model) -> Iterator[Node]:
    """Yields the calls of one model, without inputs, in the order in which it makes them."""
    for call in private.calls_in_order(model):
        if not call.is_input:
            arguments = call.arguments
            yield Node(call.operation, arguments.args, arguments.kwargs, call.outputs)


def layers(model: keras.Model, in_training: bool = False) -> Iterator[keras.layers.Layer]:
    """Yields every layer once, nested models opened, in the order of the first call.

    Args:
        model: A functional or Sequential model.
        in_training: Leave out calls that are fixed to inference, like `base(x, training=False)`.
    """
    return (part for part in operations(model, in_training) if not is_function(part))


def operations(model: keras.Model, in_training: bool = False) -> Iterator[Any]:
    """Yields every layer and every function once, as `layers` does."""
    seen: set[int] = set()

    def walk(layer: Any) -> Iterator[Any]:
        if id(layer) in seen:
            return
        seen.add(id(layer))
        if is_graph(layer):
            for node in nodes(layer):
                if not (in_training and node.call_kwargs.get("training") is False):
                    yield from walk(node.layer)
        elif is_repeated(layer):
            yield from walk(layer.layer)
        else:
            yield layer

    return walk(model)


def is_function(operation: Any) -> bool:
    """Tells whether what a node calls is a function, not a layer."""
    return not isinstance(operation, keras.layers.Layer)


def is_repeated(layer: Any) -> bool:
    """Tells whether a layer applies the layer inside it to every time step."""
    kind = keras.layers.TimeDistributed
    return isinstance(layer, kind) and type(layer).call is kind.call


def input_layer(tensor: Any) -> keras.layers.InputLayer:
    """Returns the layer that a model's input comes from."""
    return private.origin(tensor)[0]


def in_reference_order(model: keras.Model, inputs: Any) -> list[Any]:
    """Flattens what a model is called with, a dict by name, say, in the order of its inputs."""
    if isinstance(inputs, Mapping) and not isinstance(private.structures(model)[0], Mapping):
        return [inputs[tensor.name] for tensor in model.inputs]
    return flatten(inputs)


def adds(layer: Any) -> bool:
    """Tells whether a layer or a function adds up its inputs, and does nothing else."""
    return is_a(layer, "Add")


def infer(layer: Any, args: tuple, kwargs: Mapping[str, Any]) -> list[Any]:
    """Calls a layer in inference, without adding to its losses; returns the outputs, flat."""
    with without_gradients():
        if is_function(layer):
            return flatten(layer(*args, **kwargs))
        kwargs = dict(kwargs)
        if private.expects_training(layer):
            kwargs["training"] = False  # as a model does, whatever its own calls were made with
        with private.losses_as_they_were(layer):
            return flatten(layer(*args, **kwargs))
