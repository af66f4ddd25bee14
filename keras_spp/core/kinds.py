"""Keras' own classes, recognised by their names, which Keras 2 and Keras 3 share.

A class that someone else has called `Dense` may do anything, so a name counts only where Keras
itself defines it.
"""

from __future__ import annotations

import sys
from collections.abc import Set
from typing import Any

_PACKAGES = frozenset({"tf_keras", "keras"})


def own_name(kind: type) -> str | None:
    """Returns the name of a class that is one of Keras' own, and None for any other class.

    Example:
        >>> import tf_keras as keras
        >>> own_name(keras.layers.Dense)
        'Dense'
        >>> class Dense(keras.layers.Dense):
        ...     pass
        >>> own_name(Dense) is None
        True
    """
    module = kind.__module__
    # The layers of TensorFlow 1 have the names of those that replaced them.
    if "legacy" in module or module.endswith("_v1"):
        return None
    return kind.__name__ if _is_of(kind, _PACKAGES) else None


def known_name(kind: type) -> str | None:
    """Returns the name by which rules know a class: Keras' own, or KerasHub's with its package.

    Example:
        >>> import tf_keras as keras
        >>> known_name(keras.layers.Dense)
        'Dense'
    """
    return f"keras_hub.{kind.__name__}" if _is_of(kind, {"keras_hub"}) else own_name(kind)


def _is_of(kind: type, packages: Set[str]) -> bool:
    """Tells whether one of these packages defines a class."""
    module, name = kind.__module__, kind.__name__
    # Keras also creates classes at run time, with a user's name: for a layer of a SavedModel, say.
    return module.split(".")[0] in packages and getattr(sys.modules.get(module), name, None) is kind


def is_a(layer: Any, *names: str) -> bool:
    """Tells whether a layer is of one of these classes of Keras, or of a subclass.

    Args:
        layer: Any object.
        *names: Like "Conv2D".
    """
    return is_subclass(type(layer), *names)


def is_subclass(kind: type, *names: str) -> bool:
    """Tells whether a class is one of these classes of Keras, or a subclass."""
    return any(own_name(ancestor) in names for ancestor in kind.__mro__)
