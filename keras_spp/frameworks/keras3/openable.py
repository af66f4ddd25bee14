"""Layers that hide other layers inside their `call`, opened into nested models.

A composite layer's sizes are arguments of its constructor and cannot express that a channel in
its middle is gone. Calling its `call` on symbolic tensors gives the graph of the layers inside;
that graph takes its place, so that the small model does not need the composite's class. Only the
layers inside are copied: many composites do not come back from their configs.
"""

from __future__ import annotations

from typing import Any

import keras

from keras_spp.frameworks.keras3 import private
from keras_spp.frameworks.keras3.clone import clone
from keras_spp.frameworks.keras3.graph import layers, nodes, operations
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
    calls: dict[int, list[Any]] = {}
    for node in _calls(model):
        if _is_openable(type(node.layer)):
            calls.setdefault(id(node.layer), []).append(node)
    if not calls:
        return model
    # The layers inside may hide more.
    graphs = {key: opened(_as_model(nodes_of_one)) for key, nodes_of_one in calls.items()}

    def make_layer(layer: Any) -> Any:
        graph = graphs.get(id(layer))
        return clone(layer) if graph is None else rebuild(graph, clone)

    def edit_call(layer: Any, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        return (args[:1], {}) if id(layer) in graphs else (args, kwargs)

    result = rebuild(model, make_layer, edit_call)
    _fill(model, graphs, result)
    return result


def _calls(model: keras.Model) -> Any:
    """Yields the calls of a model and of those nested in it."""
    inside = {id(part): part for part in operations(model)}
    seen: set[int] = set()

    def walk(part: keras.Model) -> Any:
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


def _fill(model: keras.Model, graphs: dict[int, keras.Model], result: keras.Model) -> None:
    """Copies the weights: the layers of both come in the same order, composites opened."""
    originals: list[Any] = []
    for layer in layers(model):
        originals += layers(graphs[id(layer)]) if id(layer) in graphs else [layer]
    for old, new in zip(originals, layers(result), strict=True):
        new.set_weights(old.get_weights())
        if hasattr(new, "finalize_state"):
            new.finalize_state()
