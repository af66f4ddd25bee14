"""The adapters of frameworks, behind one interface.

Stages get the adapter of a model's framework from `of`. An adapter is imported with the first model
of its framework.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # not needed to register classes for loading, which `import keras_spp` does
    from keras_spp.frameworks.interface import Adapter


def of(model: Any, argument: str = "model") -> Adapter:
    """Returns the adapter of a model's framework, having checked the model.

    Args:
        model: What the user passed.
        argument: The name of the argument, for messages.

    Raises:
        TypeError: If it is a path, no model, or a model of a framework without an adapter.
        ValueError: If it is a subclassed model or has not been built.
    """
    if isinstance(model, str | os.PathLike):
        path = os.fspath(model)
        raise TypeError(
            f"`{argument}` must be a tf_keras model but is the path {path!r}: "
            f"load it first with tf_keras.models.load_model({path!r})."
        )
    modules = [cls.__module__ for cls in type(model).__mro__]
    # By module, because Keras 3 need not be imported, and along the MRO for the user's subclasses.
    if any(module.startswith("keras.src") for module in modules):
        raise TypeError(
            f"`{argument}` must be a tf_keras model but is a Keras 3 {type(model).__name__}: "
            "rebuild or load it with tf_keras, or set TF_USE_LEGACY_KERAS=1 before importing "
            "tensorflow if it was made with tf.keras."
        )
    if not any(module.partition(".")[0] == "tf_keras" for module in modules):
        raise TypeError(
            f"`{argument}` must be a tf_keras model, Sequential or functional, but is a "
            f"{type(model).__module__}.{type(model).__qualname__}."
        )
    adapter = default()
    adapter.check(model, argument)
    return adapter


def default() -> Adapter:
    """Returns the adapter for tasks without a model: reading data, Keras' callbacks."""
    from keras_spp.frameworks.tf_keras import adapter

    return adapter
