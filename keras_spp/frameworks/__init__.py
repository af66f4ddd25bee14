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


def of(model: Any, argument: str = "model") -> Adapter:
    """Returns the adapter of a model's framework, having checked the model.

    Args:
        model: What the user passed.
        argument: The name of the argument, for messages.

    Raises:
        TypeError: If it is a path, no model, or a model of a framework without an adapter.
        ValueError: If it is a subclassed model or has not been built.
    """
    require_model(model, argument)
    found = adapter(model)
    found.check(model, argument)
    return found


def require_model(model: Any, argument: str = "model") -> None:
    """Raises TypeError if something is a path, or of neither Keras."""
    if isinstance(model, str | os.PathLike):
        path = os.fspath(model)
        raise TypeError(
            f"`{argument}` must be a Keras model but is the path {path!r}: "
            f"load it first with spp.load_model({path!r})."
        )
    if not any(module.partition(".")[0] in ("keras", "tf_keras") for module in _modules(model)):
        raise TypeError(
            f"`{argument}` must be a Keras model, Sequential or functional, but is a "
            f"{type(model).__module__}.{type(model).__qualname__}."
        )


def adapter(model: Any) -> Adapter:
    """Returns the adapter of a model that need not have been checked: tf_keras', if in doubt."""
    return _keras_3() if _is_keras_3(model) else default()


def of_file(path: Path) -> Adapter:
    """Returns the adapter of the Keras that has saved a model; that of tf_keras if none has."""
    from keras_spp.frameworks.saved import is_keras_3

    return _keras_3() if is_keras_3(path) else default()


def _is_keras_3(model: Any) -> bool:
    """Tells whether something is of Keras 3, which need not be imported."""
    return any(module.startswith("keras.src") for module in _modules(model))


def _modules(model: Any) -> list[str]:
    """Lists where the classes of something are from, with those that the user's are made of."""
    return [cls.__module__ for cls in type(model).__mro__]


def _keras_3() -> Adapter:
    from keras_spp.frameworks.keras3 import adapter as found

    return cast("Adapter", found)


def default() -> Adapter:
    """Returns that of tf_keras, whose messages are for what is of neither Keras, too."""
    from keras_spp.frameworks.tf_keras import adapter as found

    return cast("Adapter", found)
