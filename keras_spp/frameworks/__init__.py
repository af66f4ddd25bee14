"""The adapters of frameworks, behind one interface.

Stages get the adapter of a model's framework from `of`. An adapter is imported with the first model
of its framework.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:  # not needed to register classes for loading, which `import keras_spp` does
    from keras_spp.frameworks.interface import Adapter


def of(model: Any, argument: str = "model", *, tf_keras_for: str | None = None) -> Adapter:
    """Returns the adapter of a model's framework, having checked the model.

    Args:
        model: What the user passed.
        argument: The name of the argument, for messages.
        tf_keras_for: What only tf_keras models can be used for so far, in words; None for what all
            can.

    Raises:
        TypeError: If it is a path, no model, or a model of a framework without an adapter or with
            one that cannot do that.
        ValueError: If it is a subclassed model or has not been built.
    """
    if isinstance(model, str | os.PathLike):
        path = os.fspath(model)
        raise TypeError(
            f"`{argument}` must be a tf_keras model but is the path {path!r}: "
            f"load it first with tf_keras.models.load_model({path!r})."
        )
    if _is_keras_3(model):
        return _of_keras_3(model, argument, tf_keras_for)
    if not any(module.partition(".")[0] == "tf_keras" for module in _modules(model)):
        raise TypeError(
            f"`{argument}` must be a tf_keras model, Sequential or functional, but is a "
            f"{type(model).__module__}.{type(model).__qualname__}."
        )
    adapter = default()
    adapter.check(model, argument)
    return adapter


def of_file(path: Path) -> Adapter:
    """Returns the adapter of the Keras that has saved a model; that of tf_keras if none has."""
    from keras_spp.frameworks.saved import is_keras_3

    if not is_keras_3(path):
        return default()
    from keras_spp.frameworks.keras3 import adapter

    return cast("Adapter", adapter)


def require_tf_keras(model: Any, argument: str, what: str) -> None:
    """Raises TypeError for a Keras 3 model.

    Args:
        model: What the user passed.
        argument: The name of the argument, for the message.
        what: What only tf_keras models can be used for so far, in words.
    """
    if _is_keras_3(model):
        raise TypeError(
            f"`{argument}` must be a tf_keras model for {what} but is a Keras 3 "
            f"{type(model).__name__}: rebuild or load it with tf_keras, or use spp.analyze and "
            "spp.compress, which take it as it is."
        )


def _is_keras_3(model: Any) -> bool:
    """Tells whether something is of Keras 3, which need not be imported."""
    return any(module.startswith("keras.src") for module in _modules(model))


def _modules(model: Any) -> list[str]:
    """Lists where the classes of something are from, with those that the user's are made of."""
    return [cls.__module__ for cls in type(model).__mro__]


def _of_keras_3(model: Any, argument: str, tf_keras_for: str | None) -> Adapter:
    if tf_keras_for is not None:
        require_tf_keras(model, argument, tf_keras_for)
    from keras_spp.frameworks.keras3 import adapter

    adapter.check(model, argument)
    return cast("Adapter", adapter)


def default() -> Adapter:
    """Returns the adapter for tasks without a model: reading data, Keras' callbacks."""
    from keras_spp.frameworks.tf_keras import adapter

    return adapter
