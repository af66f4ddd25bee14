"""Variables of Keras 3: read, written, found as attributes of layers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
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


@contextlib.contextmanager
def without_gradients() -> Iterator[None]:
    """Keeps what is done in it out of PyTorch's gradients; others follow none here."""
    if keras.backend.backend() != "torch":
        yield
        return
    import torch

    with torch.no_grad():
        yield
