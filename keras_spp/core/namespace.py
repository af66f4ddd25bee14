"""To which framework an array belongs, and so which namespace computes with it.

Schedules are called with arrays of any framework, also by classes of users that override their
methods. So they look which one it is, and need no argument for it.
"""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

from keras_spp.core import arrays


@functools.singledispatch
def _of(value: Any) -> ModuleType:
    return arrays


def register(kind: type, namespace: ModuleType) -> None:
    """Tells which namespace computes with arrays of a class; a framework's adapter does this."""
    _of.register(kind, lambda _: namespace)


def namespace_of(*values: Any) -> ModuleType:
    """Finds the namespace that computes with these values.

    Args:
        *values: Arrays, of at most one framework besides NumPy.

    Returns:
        That of a framework if one of them is its; `keras_spp.core.arrays` for NumPy's and numbers.
    """
    return next((namespace for namespace in map(_of, values) if namespace is not arrays), arrays)
