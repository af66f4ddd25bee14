"""The array functions that the theory needs, under their names in `keras.ops`: NumPy's version.

Functions of `keras_spp.core` that also run inside a training step take a namespace like this
module as their first argument, `arrays`. A framework's adapter has one with the same names, whose
results are those of this one (tests/frameworks/test_arrays.py). As there, Python's floats are
float32 beside nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_spp.core import philox

Array = Any  # of whichever framework the namespace belongs to


def abs(x: Array) -> Array:
    """Takes magnitudes."""
    return np.abs(x)


def all(x: Array) -> Array:
    """Tells whether all elements are true."""
    return np.all(x)


def argsort(x: Array) -> Array:
    """Sorts a vector in ascending order, equal elements in theirs; returns indices, int32."""
    return np.argsort(x, kind="stable").astype(np.int32)


def cast(x: Array, dtype: Any) -> Array:
    """Converts the elements to a type."""
    return np.asarray(x).astype(dtype)


def ceil(x: Array) -> Array:
    """Rounds up."""
    return np.ceil(x)


def clip(x: Array, low: float, high: float) -> Array:
    """Moves what is outside of a range to its ends."""
    return np.clip(x, low, high)


def concatenate(parts: Sequence[Array], axis: int = 0) -> Array:
    """Joins arrays along an axis."""
    return np.concatenate(parts, axis)


def divide_no_nan(x: Array, y: Array) -> Array:
    """Divides; where the divisor is 0 the result is 0."""
    x, y = np.broadcast_arrays(x, y)
    return np.divide(x, y, out=np.zeros_like(x), where=y != 0)


def draw(p: Array, seed: int, step: Array) -> Array:
    """Draws a mask: a pure function of seed, step and p, the same in every framework.

    Args:
        p: Pruning probabilities, any shape, float32.
        seed: The set's seed, in [0, 2**31).
        step: Training step, scalar integer.

    Returns:
        Booleans of p's shape: True where a group takes part in this step.

    Example:
        >>> bool(draw(np.zeros(8, np.float32), seed=1, step=7).all())
        True
    """
    bits = philox.bits(p.size, seed, int(step)).reshape(p.shape)
    one_to_two = (bits & np.uint32(0x7FFFFF)) | np.uint32(0x3F800000)
    return one_to_two.view(np.float32) - 1 >= p


def exp(x: Array) -> Array:
    """Takes exponentials, infinity where they are too large."""
    with np.errstate(over="ignore"):
        return np.exp(x)


def isfinite(x: Array) -> Array:
    """Tells which elements are neither NaN nor infinite."""
    return np.isfinite(x)


def maximum(x: Array, y: Array) -> Array:
    """Takes the larger ones of two arrays' elements."""
    return np.maximum(x, y)


def mean(x: Array) -> Array:
    """Takes the mean of all elements."""
    return np.mean(x)


def minimum(x: Array, y: Array) -> Array:
    """Takes the smaller ones of two arrays' elements."""
    return np.minimum(x, y)


def ones(shape: Sequence[int], dtype: Any = "float32") -> Array:
    """Makes an array of ones."""
    return np.ones(shape, dtype)


def reshape(x: Array, shape: Sequence[int]) -> Array:
    """Gives an array another shape."""
    return np.reshape(x, shape)


def scatter(indices: Array, values: Array, size: int) -> Array:
    """Makes a vector of zeros that holds values, each at an index of its own."""
    return scatter_add(np.zeros(size, np.asarray(values).dtype), indices, values)


def scatter_add(x: Array, indices: Array, values: Array) -> Array:
    """Adds values to the elements of a vector at these indices; `x` stays as it is."""
    x = np.array(x)
    np.add.at(x, np.asarray(indices), values)
    return x


def segment_sum(x: Array, segments: Array, count: int) -> Array:
    """Sums the elements of a vector that are of the same segment, of `count` segments."""
    return scatter(segments, x, count)


def sqrt(x: Array) -> Array:
    """Takes square roots."""
    return np.sqrt(x)


def square(x: Array) -> Array:
    """Takes squares."""
    return np.square(x)


def sum(x: Array, axis: Sequence[int] | None = None) -> Array:
    """Sums over axes; over all of them if none is given."""
    return np.sum(x, None if axis is None else tuple(axis))


def take(x: Array, indices: Array, axis: int = 0) -> Array:
    """Picks elements along an axis."""
    return np.take(x, indices, axis)


def where(condition: Array, x: Array, y: Array) -> Array:
    """Picks elements of one array where a condition holds, of another where it does not."""
    if isinstance(x, float) and isinstance(y, float):
        x = np.float32(x)
    return np.where(condition, x, y)


def zeros(shape: Sequence[int], dtype: Any = "float32") -> Array:
    """Makes an array of zeros."""
    return np.zeros(shape, dtype)
