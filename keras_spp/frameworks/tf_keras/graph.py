"""The graph of a functional or Sequential model: its layer calls, layers and wrappers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import tf_keras as keras
from tensorflow.nest import flatten, map_structure, pack_sequence_as

from keras_spp.core.kinds import is_a
from keras_spp.frameworks.tf_keras import private
from keras_spp.frameworks.tf_keras.models import is_graph
from keras_spp.frameworks.tf_keras.private import TFOpLambda, in_reference_order
from keras_spp.frameworks.tf_keras.wrapper import unwrap

__all__ = [
    "adds", "flatten", "in_reference_order", "infer", "is_graph", "is_repeated",
    "layers", "map_structure", "nodes", "pack_sequence_as", "unwrap",
]  # fmt: skip

_ADDITIONS = frozenset({"math.add", "__operators__.add", "add", "math.add_n"})


def nodes(model: keras.Model) -> Iterator[Any]:
    """Yields the layer calls of one model, without inputs, in the order in which it makes them."""
    return (call for call in private.calls_in_order(model) if not call.is_input)


def layers(model: keras.Model, in_training: bool = False) -> Iterator[keras.layers.Layer]:
    """Yields every layer once, nested models opened, in the order of the first call.

    Args:
        model: A functional or Sequential model.
        in_training: Leave out calls that are fixed to inference, like `base(x, training=False)`.
    """
    seen: set[int] = set()

    def walk(layer: keras.layers.Layer) -> Iterator[keras.layers.Layer]:
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


def is_repeated(layer: keras.layers.Layer) -> bool:
    """Tells whether a layer applies the layer inside it to every time step."""
    kind = keras.layers.TimeDistributed
    return isinstance(layer, kind) and type(layer).call is kind.call


def adds(layer: Any) -> bool:
    """Tells whether a layer adds up its inputs, and does nothing else."""
    if is_a(layer, "Add"):
        return True
    return isinstance(layer, TFOpLambda) and layer.get_config()["function"] in _ADDITIONS


def infer(layer: keras.layers.Layer, args: tuple, kwargs: Mapping[str, Any]) -> list[Any]:
    """Calls a layer in inference, without adding to its losses; returns the outputs, flat."""
    kwargs = dict(kwargs)
    if private.expects_training(layer) and kwargs.get("training") is None:
        kwargs["training"] = False
    with private.losses_as_they_were(layer):
        return flatten(layer(*args, **kwargs))
