"""The interface of rules to a framework (`keras_spp.core.call.Framework`) for tf_keras."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import tf_keras as keras

from keras_spp.frameworks.tensorflow.trial import follow
from keras_spp.frameworks.tf_keras import private
from keras_spp.frameworks.tf_keras.clone import clone_layer, read_config
from keras_spp.frameworks.tf_keras.private import TFOpLambda
from keras_spp.frameworks.tf_keras.wrapper import unwrap
from keras_spp.frameworks.weight_path import weight_path

__all__ = ["as_functions", "asks_for_mask", "config", "follow", "takes_sizes", "weight_path"]


def as_functions(layer: keras.layers.Layer) -> list[Callable[..., Any]]:
    """Returns what a layer without weights computes, as functions of inference and training.

    Returns:
        Calls of a copy; none if it depends on more than its arguments, such as a mask.

    Raises:
        ValueError: If the layer cannot be copied.
    """
    if private.expects_mask(layer):
        return []
    copy = clone_layer(layer)
    if not private.expects_training(copy):
        return [copy]
    return [functools.partial(copy, training=training) for training in (False, True)]


def config(layer: keras.layers.Layer) -> dict[str, Any]:
    """Returns a layer's config without the objects that Keras may not read back."""
    return read_config(layer)[0]


def takes_sizes(layer: keras.layers.Layer) -> bool:
    """Tells whether a layer's rule can handle tensors made of others' sizes."""
    return isinstance(layer, TFOpLambda)


def asks_for_mask(layer: keras.layers.Layer) -> bool:
    """Tells whether a mask that a layer makes reaches, or may reach, one that uses it."""
    for node in layer.outbound_nodes:
        consumer = unwrap(node.layer)
        if private.expects_mask(consumer) or isinstance(consumer, keras.Model):
            return True
        if consumer.supports_masking and asks_for_mask(node.layer):
            return True
    return False
