"""Single layers of a model: their input shapes, and one as a model by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_spp.core.channels import Sizes
from keras_spp.frameworks.keras3 import private
from keras_spp.frameworks.keras3.clone import clone
from keras_spp.frameworks.keras3.graph import input_layer, layers
from keras_spp.frameworks.keras3.rebuilding import rebuild


def input_shapes(model: keras.Model, sizes: Sequence[Sizes] | None = None) -> dict[int, Sizes]:
    """Returns the shape on which each layer is first called, batch included, by the layer's id.

    Args:
        model: A functional or Sequential model.
        sizes: Those of each input without the batch; None for what the model declares.
    """
    sized = model
    if sizes is not None:
        declared = {
            id(input_layer(tensor)): {"batch_shape": (tensor.shape[0], *size)}
            for tensor, size in zip(model.inputs, sizes, strict=True)
        }
        sized = rebuild(model, lambda layer: clone(layer, declared.get(id(layer))))
    return {
        id(old): tuple(private.call_of(new, 0).input_tensors[0].shape)
        for old, new in zip(layers(model), layers(sized), strict=True)
        if private.is_called(new)
    }


def alone(layer: keras.layers.Layer, changes: dict[str, Any], shape: Sizes) -> keras.Model:
    """Returns a model of one layer like this one, with new weights.

    Args:
        layer: The layer.
        changes: The entries of its config that change.
        shape: Of its input, float32, batch included.
    """
    inputs = keras.Input(batch_shape=shape, dtype="float32")
    return keras.Model(inputs, clone(layer, changes, resized=True)(inputs))
