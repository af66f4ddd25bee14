"""Clones of layers, made from their configs as far as possible."""

from __future__ import annotations

from typing import Any

import tf_keras as keras

from keras_spp.frameworks import configs
from keras_spp.frameworks.configs import Shared, give
from keras_spp.frameworks.tf_keras import private
from keras_spp.frameworks.tf_keras.initial_values import build_in_any_size
from keras_spp.util.messages import first_line


def clone_layer(
    layer: keras.layers.Layer,
    changes: dict[str, Any] | None = None,
    kind: Any = None,
    resized: bool = False,
) -> Any:
    """Returns a new, unbuilt layer with the same config.

    Args:
        layer: The layer to copy.
        changes: The entries of its config that change.
        kind: The class of the copy, if it is a different one.
        resized: Whether its weights get other sizes, for which an initializer may fail.
    """
    try:
        copy = _make_copy(layer, changes or {}, kind or type(layer))
    except Exception as error:  # whatever a user's class raises
        raise ValueError(
            f"`model` has a layer {layer.name!r} ({type(layer).__name__}) that cannot be copied "
            f"({first_line(error)}): give its class a get_config() from which it can be made "
            "again, and register classes of your own with "
            "keras.saving.register_keras_serializable()."
        ) from error
    if layer.activity_regularizer is not None and copy.activity_regularizer is None:
        copy.activity_regularizer = layer.activity_regularizer  # few classes have it in the config
    if getattr(layer, "synchronized", False):  # over replicas: Keras leaves it out of the config
        copy.synchronized, copy.fused = True, False
    if resized:
        build_in_any_size(copy)
    return copy


def _make_copy(layer: keras.layers.Layer, changes: dict[str, Any], kind: Any) -> Any:
    if kind is keras.layers.Lambda:
        return _clone_lambda(layer)
    config, shared = read_config(layer)
    copy = kind.from_config({**config, **changes})
    give(copy, shared)
    return copy


def read_config(layer: keras.layers.Layer) -> tuple[dict[str, Any], Shared]:
    """Returns a layer's config without the Python objects that Keras may not read back; and these.

    Of TensorFlow's functions Keras knows only some.
    """
    return configs.read_config(layer, "tf_keras", keras.activations.linear)


def _clone_lambda(layer: keras.layers.Lambda) -> keras.layers.Lambda:
    """Returns a Lambda of the same function: marshalling that would lose its closure."""
    return type(layer)(
        layer.function,
        output_shape=private.declared_output_shape(layer),
        mask=layer.mask,
        arguments=layer.arguments,
        **keras.layers.Layer.get_config(layer),
    )
