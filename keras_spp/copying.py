"""Making a layer again, from its config as far as that goes."""

from __future__ import annotations

from typing import Any

import tf_keras as keras

from keras_spp.causes import first_line


def clone_layer(
    layer: keras.layers.Layer, changes: dict[str, Any] | None = None, kind: Any = None
) -> Any:
    """A new, unbuilt layer with the same config except for `changes`, of another class if given."""
    if type(layer) is keras.layers.Lambda:
        return _clone_lambda(layer)
    try:
        config, shared = read_config(layer)
        copy = (kind or type(layer)).from_config({**config, **(changes or {})})
    except Exception as error:  # whatever a user's class raises
        raise ValueError(
            f"`model` has a layer {layer.name!r} ({type(layer).__name__}) that cannot be copied "
            f"({first_line(error)}): give its class a get_config() from which it can be made "
            "again, and register classes of your own with "
            "keras.saving.register_keras_serializable()."
        ) from error
    for key, value in shared.items():
        setattr(copy, key, value)
    if getattr(layer, "synchronized", False):  # over replicas: Keras leaves it out of the config
        copy.synchronized, copy.fused = True, False
    return copy


def read_config(layer: keras.layers.Layer) -> tuple[dict[str, Any], dict[str, Any]]:
    """A layer's config without the Python objects that Keras may not read back; and these."""
    shared = {key: value for key, value in vars(layer).items() if _is_foreign(key, value)}
    plain = {key: keras.activations.linear if "activation" in key else None for key in shared}
    vars(layer).update(plain)
    try:
        return layer.get_config(), shared
    finally:
        vars(layer).update(shared)


def _is_foreign(name: str, value: Any) -> bool:
    """Whether an attribute is an activation, a regularizer... that Keras may not read back.

    The copy shares it, except for layers with weights, which have to be made again.
    """
    named = name.endswith(("activation", "regularizer", "constraint", "initializer"))
    if not named or not callable(value) or getattr(value, "weights", None):
        return False
    module = getattr(value, "__module__", None) or type(value).__module__
    return not module.startswith(("tf_keras.", "tensorflow."))


def _clone_lambda(layer: keras.layers.Lambda) -> keras.layers.Lambda:
    """Around the same function: marshalling it would lose what it closes over."""
    return type(layer)(
        layer.function,
        output_shape=layer._output_shape,
        mask=layer.mask,
        arguments=layer.arguments,
        **keras.layers.Layer.get_config(layer),
    )
