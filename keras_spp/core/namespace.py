"""To which framework an array belongs, and so which namespace computes with it.

Schedules are called with arrays of any framework, also by classes of users that override their
methods. So they look which one it is, and need no argument for it.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
from collections.abc import Iterator
from contextvars import ContextVar
from types import ModuleType
from typing import Any

from keras_spp.core import arrays

_MODULES: dict[str, str] = {}
_used: ContextVar[ModuleType | None] = ContextVar("used", default=None)


def register(package: str, module: str) -> None:
    """Tells which namespace computes with arrays of a package.

    Args:
        package: The package that the arrays' classes are of.
        module: The namespace, which is imported when the first of them is there.
    """
    _MODULES[package] = module
    _of.cache_clear()


@functools.lru_cache(None)
def _of(kind: Any) -> ModuleType:
    module = _MODULES.get(str(kind.__module__).partition(".")[0])
    return arrays if module is None else importlib.import_module(module)


@contextlib.contextmanager
def use(namespace: ModuleType) -> Iterator[None]:
    """Has all arrays computed with by one namespace, whatever they are."""
    token = _used.set(namespace)
    try:
        yield
    finally:
        _used.reset(token)


def namespace_of(*values: Any) -> ModuleType:
    """Finds the namespace that computes with these values.

    Args:
        *values: Arrays, of at most one framework besides NumPy.

    Returns:
        The one in use; that of a framework if one of them is its; `keras_spp.core.arrays` for
        NumPy's and numbers.
    """
    used = _used.get()  # on a line of its own: AutoGraph knows no assignment in an expression
    if used is not None:
        return used
    known = (_of(value.__class__) for value in values)
    return next((namespace for namespace in known if namespace is not arrays), arrays)
