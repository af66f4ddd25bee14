"""Layers that hide other layers inside their `call`, opened into nested models.

A composite layer's sizes are arguments of its constructor and cannot express that a channel in
its middle is gone. Calling its `call` on Keras tensors gives the graph of the layers inside;
that graph takes its place, so that the small model does not need the composite's class.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import tf_keras as keras

from keras_spp.frameworks.openable import is_declared
from keras_spp.frameworks.tf_keras.clone import clone_layer
from keras_spp.frameworks.tf_keras.function_layers import as_layer, input_of, variables_in_calls
from keras_spp.frameworks.tf_keras.graph import layers
from keras_spp.frameworks.tf_keras.rebuilding import rebuild
from keras_spp.frameworks.tf_keras.user_functions import as_model, graph_of

# KerasCV's, by name, because KerasCV need not be installed.
_KERAS_CV = frozenset({
    "CrossStagePartial", "FusedMBConvBlock", "HardSigmoidActivation", "MBConvBlock",
    "SqueezeAndExcite2D",
})  # fmt: skip


def is_openable(layer: keras.layers.Layer) -> bool:
    """Tells whether a layer's class is declared to be openable."""
    kind = type(layer)
    if not layer.inbound_nodes:  # inside TimeDistributed: its calls are not recorded
        return False
    return is_declared(kind) or (
        kind.__name__ in _KERAS_CV
        if _is_keras_cv(kind)
        else kind is keras.layers.Lambda and _is_keras_cv(layer.function)
    )


def _is_keras_cv(item: Any) -> bool:
    return (getattr(item, "__module__", None) or "").startswith("keras_cv.")


def opened(model: keras.Model) -> keras.Model:
    """Returns the model, or a copy in which hidden layers are layers of nested models.

    Openable layers, and functions of the user's that must be cut to the surviving channels, become
    nested models; functions with a kernel become layers.
    """
    uses = Counter(id(weight) for layer in layers(model) for weight in variables_in_calls(layer))
    owned = {id(weight) for layer in layers(model) for weight in layer.weights}
    owned |= {weight for weight, times in uses.items() if times > 1}  # shared by functions
    functions = {id(layer): pair for layer in layers(model) if (pair := as_layer(layer, owned))}
    graphs = {id(layer): graph for layer in layers(model) if (graph := graph_of(layer, opened))}
    if not functions and not graphs and not any(map(is_openable, layers(model))):
        return model
    copies: list[tuple[Any, list[np.ndarray]]] = []

    def make_layer(layer: keras.layers.Layer) -> Any:
        if id(layer) in functions:
            copy, kernel = functions[id(layer)]
            copies.append((copy, [kernel]))
            return copy
        if id(layer) in graphs:
            return graphs[id(layer)]
        copy = clone_layer(layer)
        copies.append((copy, layer.get_weights()))
        return as_model(layer, copy) if is_openable(layer) else copy

    def edit_call(layer: keras.layers.Layer, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        if id(layer) in graphs:
            return args, {}
        if id(layer) not in functions:
            return args, kwargs
        return (input_of(layer, args, kwargs),), {}

    result = rebuild(model, make_layer, edit_call)
    for copy, weights in copies:
        copy.set_weights(weights)
    return opened(result)  # the layers inside may hide more
