"""The array functions that the theory needs, under their names in `keras.ops`: NumPy's version.

Functions of `keras_spp.core` that also run inside a training step take a namespace like this
module as their first argument, `arrays`. A framework's adapter has one with the same names, whose
results are those of this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = Any  # of whichever framework the namespace belongs to


def cast(x: Array, dtype: str) -> Array:
    """Converts the elements to a type."""
    return np.asarray(x).astype(dtype)


def concatenate(parts: Sequence[Array], axis: int = 0) -> Array:
    """Joins arrays along an axis."""
    return np.concatenate(parts, axis)


def ones(shape: Sequence[int], dtype: Any) -> Array:
    """Makes an array of ones."""
    return np.ones(shape, dtype)


def reshape(x: Array, shape: Sequence[int]) -> Array:
    """Gives an array another shape."""
    return np.reshape(x, shape)


def segment_sum(x: Array, segments: Array, count: int) -> Array:
    """Sums the elements of a vector that are of the same segment, of `count` segments."""
    x = np.asarray(x)
    sums = np.zeros(count, x.dtype)
    np.add.at(sums, segments, x)
    return sums


def sum(x: Array, axis: Sequence[int] | None = None) -> Array:
    """Sums over axes; over all of them if none is given."""
    return np.sum(x, None if axis is None else tuple(axis))


def take(x: Array, indices: Array, axis: int = 0) -> Array:
    """Picks elements along an axis."""
    return np.take(x, indices, axis)
