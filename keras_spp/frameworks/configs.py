"""Configs of layers without the Python objects in them that Keras may not read back."""

from __future__ import annotations

from typing import Any

from keras_spp.core.kinds import is_a

# These objects by the path to the layer that holds them, such as a recurrent layer's cell.
Path = tuple[str | int, ...]
Shared = dict[Path, dict[str, Any]]


def read_config(layer: Any, home: str, linear: Any) -> tuple[dict[str, Any], Shared]:
    """Returns a layer's config without the Python objects that Keras may not read back; and these.

    Args:
        layer: The layer.
        home: The package whose activations, regularizers... it reads back.
        linear: Its identity, which takes the place of activations meanwhile.
    """
    holders = {path: vars(at_path(layer, path)) for path in [(), *_paths_of_cells(layer)]}
    shared = {
        path: {key: value for key, value in held.items() if _is_foreign(key, value, home)}
        for path, held in holders.items()
    }
    for path, values in shared.items():
        holders[path].update({key: linear if "activation" in key else None for key in values})
    try:
        return layer.get_config(), shared
    finally:
        for path, values in shared.items():
            holders[path].update(values)


def give(layer: Any, shared: Shared) -> None:
    """Lets a new layer share these objects, before it is built."""
    for path, values in shared.items():
        holder = at_path(layer, path)
        for key, value in values.items():
            setattr(holder, key, value)


def at_path(layer: Any, path: Path) -> Any:
    """Returns the object at a path of attributes and indices."""
    for step in path:
        layer = layer[step] if isinstance(step, int) else getattr(layer, step)
    return layer


def _paths_of_cells(layer: Any) -> list[Path]:
    cell: Any = getattr(layer, "cell", None) if is_a(layer, "RNN") else None
    if is_a(cell, "StackedRNNCells"):
        return [("cell", "cells", number) for number in range(len(cell.cells))]
    return [("cell",)] if is_a(cell, "Layer") else []


def _is_foreign(name: str, value: Any, home: str) -> bool:
    """Tells whether an attribute is an activation, regularizer... that Keras may not read back.

    The copy shares it, except for layers with weights, which must be cloned.
    """
    named = name.endswith(("activation", "regularizer", "constraint", "initializer"))
    if not named or not callable(value) or getattr(value, "weights", None):
        return False
    module = getattr(value, "__module__", None) or type(value).__module__
    if is_a(value, "Layer"):  # its attributes may be foreign
        return True
    return not module.startswith(f"{home}.")
