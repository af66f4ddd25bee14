"""Layers that hide other layers inside their `call`, opened into nested models.

A composite layer's sizes are arguments of its constructor and cannot express that a channel in
its middle is gone. Calling its `call` on symbolic tensors gives the graph of the layers inside;
that graph takes its place, so that the small model does not need the composite's class. Only the
layers inside are copied: many composites do not come back from their configs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

from keras_spp.frameworks.keras3 import private
from keras_spp.frameworks.keras3.clone import clone
from keras_spp.frameworks.keras3.graph import is_function, nodes, operations
from keras_spp.frameworks.keras3.rebuilding import rebuild
from keras_spp.frameworks.openable import is_declared
from keras_spp.util.messages import first_line

# KerasHub's, by name, because KerasHub need not be installed.
_KERAS_HUB = frozenset({
    "CBABlock", "ConvBnActBlock", "DepthwiseConvBlock", "FeaturePyramid", "FusedMBConvBlock",
    "HGNetV2BasicLayer", "HGNetV2ConvLayer", "HGNetV2ConvLayerLight", "HGNetV2Embeddings",
    "HGNetV2Encoder", "HGNetV2Stage", "InvertedResidualBlock", "MBConvBlock", "PredictionHead",
    "SpatialPyramidPooling", "SqueezeAndExcite2D",
})  # fmt: skip


def _is_openable(kind: type) -> bool:
    """Tells whether a layer's class is declared to be openable."""
    is_hubs = kind.__module__.startswith("keras_hub.") and kind.__name__ in _KERAS_HUB
    return is_hubs or is_declared(kind)


def opened(model: keras.Model) -> keras.Model:
    """Returns the model, or a copy in which openable layers are nested models."""
    graphs = _graphs(model)
    if not graphs:
        return model

    copies: dict[int, tuple[Any, Any]] = {}  # composites may share a layer

    def make_layer(layer: Any) -> Any:
        if id(layer) in graphs:
            return rebuild(graphs[id(layer)], make_layer, edit_call)
        if id(layer) not in copies:
            copies[id(layer)] = layer, clone(layer)
        return copies[id(layer)][1]

    def edit_call(layer: Any, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        return (args[:1], {}) if id(layer) in graphs else (args, kwargs)

    result = rebuild(model, make_layer, edit_call)
    for layer, copy in copies.values():
        if not is_function(layer):
            copy.set_weights(layer.get_weights())
        if hasattr(copy, "finalize_state"):
            copy.finalize_state()
    return result


def _graphs(model: keras.Model) -> dict[int, keras.Model]:
    """Returns what each openable layer calls, by its id; the layers inside may hide more."""
    calls: dict[int, list[Any]] = {}
    for node in _calls(model):
        if _is_openable(type(node.layer)):
            calls.setdefault(id(node.layer), []).append(node)
    graphs = {key: _as_model(nodes_of_one) for key, nodes_of_one in calls.items()}
    for graph in list(graphs.values()):
        graphs |= _graphs(graph)
    return graphs


def _calls(model: keras.Model) -> Iterator[Any]:
    """Yields the calls of a model and of those nested in it."""
    inside = {id(part): part for part in operations(model)}
    seen: set[int] = set()

    def walk(part: keras.Model) -> Iterator[Any]:
        if id(part) not in seen:
            seen.add(id(part))
            for node in nodes(part):
                if id(node.layer) in inside:
                    yield node
                elif private.functional(node.layer) is not None:
                    yield from walk(node.layer)

    return walk(model)


def _as_model(calls: list[Any]) -> keras.Model:
    """Returns the layers that a composite calls as a model of the same name."""
    layer = calls[0].layer
    try:
        inputs = keras.tree.map_structure(_input_for, *(node.call_args[0] for node in calls))
        model = keras.Model(inputs, layer.call(inputs), name=layer.name)
    except Exception as error:  # whatever a user's class raises
        raise ValueError(
            f"`model` has a layer {layer.name!r} ({type(layer).__name__}) that cannot be opened "
            f"({first_line(error)}): its call() must do with one argument, and compute with layers "
            f"and with functions of keras.ops alone."
        ) from error
    return model


def _input_for(*tensors: Any) -> Any:
    """Returns an input that takes each of these tensors; where they differ, its size is open."""
    sizes = zip(*(tensor.shape for tensor in tensors), strict=True)
    shape = [first if all(size == first for size in others) else None for first, *others in sizes]
    return keras.Input(batch_shape=shape, dtype=tensors[0].dtype)
