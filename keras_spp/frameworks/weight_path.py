"""Where a layer holds a variable: the same walk for both Keras."""

from __future__ import annotations

from typing import Any

from keras_spp.core.kinds import is_a


def weight_path(layer: Any, variable: Any) -> str | None:
    """Returns a variable's attribute, like "kernel" or "cell.kernel"; None if there is none."""
    for name, value in vars(layer).items():
        if value is variable:
            return name
        if is_a(value, "Layer") and (inner := weight_path(value, variable)):
            return f"{name}.{inner}"
    cells = layer.cells if is_a(layer, "StackedRNNCells") else []
    for number, cell in enumerate(cells):
        if inner := weight_path(cell, variable):
            return f"cells.{number}.{inner}"
    return None
