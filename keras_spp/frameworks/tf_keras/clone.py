"""Clones of layers, made from their configs as far as possible."""

from __future__ import annotations

from typing import Any

import tf_keras as keras

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
    for path, values in shared.items():
        holder = at_path(copy, path)
        for key, value in values.items():
            setattr(holder, key, value)
    return copy


Shared = dict[tuple[str | int, ...], dict[str, Any]]


def read_config(layer: keras.layers.Layer) -> tuple[dict[str, Any], Shared]:
    """Returns a layer's config without the Python objects that Keras may not read back; and these.

    The objects come by the path to the layer that holds them, such as a recurrent layer's cell.
    """
    holders = {path: vars(at_path(layer, path)) for path in [(), *_paths_of_cells(layer)]}
    shared = {
        path: {key: value for key, value in held.items() if _is_foreign(key, value)}
        for path, held in holders.items()
    }
    for path, values in shared.items():
        holders[path].update(
            {key: keras.activations.linear if "activation" in key else None for key in values}
        )
    try:
        return layer.get_config(), shared
    finally:
        for path, values in shared.items():
            holders[path].update(values)


def at_path(layer: Any, path: tuple[str | int, ...]) -> Any:
    """Returns the object at a path of attributes and indices."""
    for step in path:
        layer = layer[step] if isinstance(step, int) else getattr(layer, step)
    return layer


def _paths_of_cells(layer: keras.layers.Layer) -> list[tuple[str | int, ...]]:
    cell = getattr(layer, "cell", None) if isinstance(layer, keras.layers.RNN) else None
    if isinstance(cell, keras.layers.StackedRNNCells):
        return [("cell", "cells", number) for number in range(len(cell.cells))]
    return [("cell",)] if isinstance(cell, keras.layers.Layer) else []


def _is_foreign(name: str, value: Any) -> bool:
    """Tells whether an attribute is an activation, regularizer... that Keras may not read back.

    The copy shares it, except for layers with weights, which must be cloned.
    """
    named = name.endswith(("activation", "regularizer", "constraint", "initializer"))
    if not named or not callable(value) or getattr(value, "weights", None):
        return False
    module = getattr(value, "__module__", None) or type(value).__module__
    if isinstance(value, keras.layers.Layer):  # its attributes may be foreign
        return True
    return not module.startswith("tf_keras.")  # of TensorFlow's functions Keras knows only some


def _clone_lambda(layer: keras.layers.Lambda) -> keras.layers.Lambda:
    """Returns a Lambda of the same function: marshalling that would lose its closure."""
    return type(layer)(
        layer.function,
        output_shape=private.declared_output_shape(layer),
        mask=layer.mask,
        arguments=layer.arguments,
        **keras.layers.Layer.get_config(layer),
    )
