"""Nested lists, tuples and dicts, as users give data and layers take tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any


def flatten(structure: Any) -> list[Any]:
    """Returns the items of nested sequences and mappings, the latter in the order of their keys.

    Example:
        >>> flatten({"b": [1, (2, None)], "a": "text"})
        ['text', 1, 2, None]
    """
    if isinstance(structure, Mapping):
        structure = [structure[key] for key in sorted(structure)]
    if _is_sequence(structure):
        return [item for part in structure for item in flatten(part)]
    return [structure]


def map_structure(function: Callable[..., Any], *structures: Any) -> Any:
    """Calls a function with what is at one place of structures that are alike.

    Example:
        >>> map_structure(lambda a, b: a + b, {"x": (1, [2])}, {"x": (10, [20])})
        {'x': (11, [22])}
    """
    first = structures[0]
    if isinstance(first, Mapping):
        if any(set(first) != set(other) for other in structures):
            raise ValueError(f"structures with the keys {sorted(first)} and others")
        items = {key: map_structure(function, *(s[key] for s in structures)) for key in first}
        return items if isinstance(items, type(first)) else type(first)(items)  # type: ignore[call-arg]
    if not _is_sequence(first):
        return function(*structures)
    results = [map_structure(function, *parts) for parts in zip(*structures, strict=True)]
    if hasattr(first, "_fields"):  # a named tuple
        return type(first)(*results)
    return tuple(results) if isinstance(first, tuple) else results


def _is_sequence(structure: Any) -> bool:
    return isinstance(structure, Sequence) and not isinstance(structure, str | bytes | bytearray)
