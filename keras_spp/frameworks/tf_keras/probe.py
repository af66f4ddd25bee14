"""Looking at what passes through the layers of a model, wherever they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tf_keras as keras

from keras_spp.frameworks.tf_keras.clone import clone_layer
from keras_spp.frameworks.tf_keras.rebuilding import rebuild

Look = Callable[[Any, Any], Any]


class _Observed(keras.layers.Layer):
    """Calls a layer and shows inputs and outputs of eager calls."""

    def __init__(self, layer: keras.layers.Layer, look: Look) -> None:
        super().__init__(name=layer.name, dtype=layer.dtype_policy)
        self.layer, self.look = layer, look

    def call(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """What the layer returns, or what the look returns in its place."""
        outputs = self.layer(inputs, *args, **kwargs)
        if not tf.executing_eagerly():
            return outputs
        seen = self.look(inputs, outputs)
        return outputs if seen is None else seen


def observed(
    model: keras.Model,
    look_for: Callable[[keras.layers.Layer], Look | None],
    copies: dict[int, keras.layers.Layer] | None = None,
) -> keras.Model:
    """A copy of a model that shows what passes through its layers when it is called eagerly.

    Args:
        model: A functional or Sequential model, pruned or not; it is not modified.
        look_for: Gives for each layer the function ``look(inputs, outputs)`` that is to be
            called, or None. What the function returns, unless None, replaces the outputs.
        copies: Takes up the copy of each layer, by the id of the layer.

    Returns:
        The copy, with its own weights of the same values.
    """
    pairs = []

    def make_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
        copy, look = clone_layer(layer), look_for(layer)
        pairs.append((layer, copy))
        if copies is not None:
            copies[id(layer)] = copy
        return copy if look is None else _Observed(copy, look)

    result = rebuild(model, make_layer)
    for layer, copy in pairs:
        for old, new in zip(layer.weights, copy.weights, strict=True):
            new.assign(old)
        if hasattr(copy, "finalize_state"):
            copy.finalize_state()
    return result
