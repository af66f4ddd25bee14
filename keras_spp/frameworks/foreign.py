"""Objects of frameworks that need not be imported: recognised by the classes that they have."""

from __future__ import annotations

from typing import Any

_TENSORS = frozenset({"tensorflow", "jax", "jaxlib", "torch"})
_MODULES = frozenset({"tensorflow", "tf_keras", "keras", "torch"})


def is_tensor(item: Any) -> bool:
    """Tells whether something is a tensor with values, of whichever framework."""
    return type(item).__module__.partition(".")[0] in _TENSORS and hasattr(item, "__array__")


def is_module(item: Any) -> bool:
    """Tells whether something is a model or a layer, of whichever framework."""
    return any(
        kind.__name__ in ("Module", "Layer") and kind.__module__.partition(".")[0] in _MODULES
        for kind in type(item).__mro__
    )


def is_misfit(error: Exception) -> bool:
    """Tells whether an error is what a layer raises on data that do not fit it."""
    return isinstance(error, ValueError | TypeError) or _is(error, "InvalidArgumentError")


def is_of_layer(error: Exception) -> bool:
    """Tells whether an error is what a layer raises in its call, whatever the cause."""
    return is_misfit(error) or _is(error, "OpError")


def _is(error: Exception, name: str) -> bool:
    return any(kind.__name__ == name for kind in type(error).__mro__)
