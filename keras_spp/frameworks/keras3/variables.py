"""Variables of Keras 3: read, written, found as attributes of layers."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np


def read(variable: keras.Variable) -> np.ndarray:
    """Returns a variable's value as an array."""
    return keras.ops.convert_to_numpy(variable)


def write(variable: keras.Variable, value: Any) -> None:
    """Gives a variable a value, rounded to its own type."""
    variable.assign(keras.ops.convert_to_tensor(np.asarray(value), dtype=variable.dtype))


def raw(variable: keras.Variable) -> keras.Variable:
    """Returns the variable itself: Keras 3 casts none but in a layer's call."""
    return variable


def weight_path(layer: Any, variable: Any) -> str | None:
    """Returns a variable's attribute, like "_kernel" or "cell.kernel"; None if there is none."""
    for name, value in vars(layer).items():
        if value is variable:
            return name
        if isinstance(value, keras.layers.Layer) and (inner := weight_path(value, variable)):
            return f"{name}.{inner}"
    cells = layer.cells if isinstance(layer, keras.layers.StackedRNNCells) else []
    for number, cell in enumerate(cells):
        if inner := weight_path(cell, variable):
            return f"cells.{number}.{inner}"
    return None
