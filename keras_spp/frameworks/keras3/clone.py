"""Clones of layers and functions, made from their configs as far as possible."""

from __future__ import annotations

import inspect
from typing import Any

import keras

from keras_spp.frameworks import configs
from keras_spp.frameworks.configs import Shared, give
from keras_spp.frameworks.initial_values import Library, build_in_any_size
from keras_spp.frameworks.keras3 import private
from keras_spp.frameworks.keras3.graph import is_function
from keras_spp.util.messages import first_line

_LIBRARY = Library(
    keras.initializers,
    lambda value, dtype: keras.ops.convert_to_tensor(value, dtype=dtype),
    keras.ops.zeros,
)


def clone(
    layer: Any,
    changes: dict[str, Any] | None = None,
    kind: Any = None,
    resized: bool = False,
) -> Any:
    """Returns a new, unbuilt layer with the same config; or a function, of which no calls are made.

    Args:
        layer: The layer, or function, to copy.
        changes: The entries of its config that change.
        kind: The class of the copy, if it is a different one.
        resized: Whether its weights get other sizes, for which an initializer may fail.
    """
    if is_function(layer):
        return _function(layer, changes or {})
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
    if resized:
        build_in_any_size(copy, _LIBRARY)
    return copy


def read_config(layer: Any) -> tuple[dict[str, Any], Shared]:
    """Returns a layer's config without the Python objects that Keras may not read back; and these.

    A function has constants, which its config tells if they are simple.
    """
    if is_function(layer):
        return layer.get_config(), {}
    if _has_no_arguments(type(layer)):
        # Of such a layer Keras remembers what it was made with, and may not know how to save it.
        dtype = keras.dtype_policies.serialize(layer.dtype_policy)
        return {"name": layer.name, "trainable": layer.trainable, "dtype": dtype}, {}
    config, shared = configs.read_config(layer, "keras", keras.activations.linear)
    return _unbuilt(config), shared


def _has_no_arguments(kind: type) -> bool:
    """Tells whether a class's constructor takes what all layers take, and leaves its config be."""
    kinds = [parameter.kind for parameter in inspect.signature(kind).parameters.values()]
    owner = next(base for base in kind.__mro__ if "get_config" in vars(base))
    return kinds == [inspect.Parameter.VAR_KEYWORD] and owner is keras.layers.Layer


def _unbuilt(config: Any) -> Any:
    """Returns a config without the sizes for which Keras builds layers inside when it reads it."""
    if isinstance(config, dict):
        entries = {key: _unbuilt(entry) for key, entry in config.items() if key != "build_config"}
        return type(config)(entries)
    return [_unbuilt(entry) for entry in config] if isinstance(config, list) else config


def _make_copy(layer: keras.layers.Layer, changes: dict[str, Any], kind: Any) -> Any:
    if kind is keras.layers.Lambda:
        return _clone_lambda(layer, changes)
    config, shared = read_config(layer)
    copy = kind.from_config({**config, **changes})
    give(copy, shared)
    return copy


def _clone_lambda(layer: keras.layers.Lambda, changes: dict[str, Any]) -> keras.layers.Lambda:
    """Returns a Lambda of the same function: marshalling that would lose its closure."""
    return type(layer)(
        layer.function,
        output_shape=tuple(changes["output_shape"])
        if "output_shape" in changes
        else private.declared_output_shape(layer),
        mask=layer.mask,
        arguments=layer.arguments,
        **keras.layers.Layer.get_config(layer),
    )


def _function(operation: keras.Operation, changes: dict[str, Any]) -> keras.Operation:
    """Returns a new function with the same constants; they are all the state that one has."""
    try:
        config = operation.get_config()
    except NotImplementedError:  # constants that Keras does not save: arrays, functions
        twin = private.uncalled(operation)
        for name, value in changes.items():
            setattr(twin, name, value)
        return twin
    return type(operation).from_config({**config, **changes})
