"""The functions of `keras_spp.core.arrays` in keras.ops, for a training step on any backend.

Integers of 64 bits are of 32 here, as JAX has no others unless it is told to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

ops = keras.ops

_GOLDEN, _FIRST, _SECOND = 0x9E3779B9, 0x7FEB352D, 0x846CA68B


def abs(x: Any) -> Any:
    """Takes magnitudes."""
    return ops.abs(x)


def all(x: Any) -> Any:
    """Tells whether all elements are true."""
    return ops.all(x)


def argsort(x: Any) -> Any:
    """Sorts a vector in ascending order, equal elements in theirs; returns indices, int32."""
    return ops.cast(ops.argsort(x), "int32")


def cast(x: Any, dtype: Any) -> Any:
    """Converts the elements to a type."""
    name = dtype if isinstance(dtype, str) else np.dtype(dtype).name
    return ops.cast(x, "int32" if name == "int64" else name)


def ceil(x: Any) -> Any:
    """Rounds up."""
    return ops.ceil(x)


def clip(x: Any, low: float, high: float) -> Any:
    """Moves what is outside of a range to its ends."""
    return ops.clip(x, low, high)


def concatenate(parts: Sequence[Any], axis: int = 0) -> Any:
    """Joins tensors along an axis."""
    return ops.concatenate(parts, axis)


def divide_no_nan(x: Any, y: Any) -> Any:
    """Divides; where the divisor is 0 the result is 0."""
    return ops.divide_no_nan(x, y)


def draw(p: Any, seed: int, step: Any) -> Any:
    """Draws a mask: a pure function of seed, step and p, the same on every backend.

    The bits are a hash of seed, step and place, in integers of 32 bits: what all backends have,
    eager and compiled. (NumPy's and tf_keras' come from another generator.)

    Args:
        p: Pruning probabilities, any shape, float32.
        seed: The set's seed, in [0, 2**31).
        step: Training step, scalar integer.

    Returns:
        Booleans of p's shape: True where a group takes part in this step.

    Source: the mixing function is "lowbias32" of Chris Wellons' "hash-prospector".
    """
    shape = tuple(p.shape)
    place = np.arange(np.prod(shape, dtype=int), dtype=np.uint64) * _GOLDEN
    start = _mixed(_mixed(ops.convert_to_tensor(_signed(seed), "int32")) ^ ops.cast(step, "int32"))
    bits = _mixed(start + ops.convert_to_tensor(_signed(place), "int32"))
    uniform = ops.cast(_shifted(bits, 8), "float32") * 2.0**-24
    return ops.reshape(uniform, shape) >= p


def _signed(value: Any) -> np.ndarray:
    """Reads the low 32 bits of integers as signed ones."""
    return np.asarray(value).astype(np.uint64).astype(np.uint32).view(np.int32)


def _shifted(bits: Any, by: int) -> Any:
    """Shifts to the right, zeros coming in, whatever the sign."""
    return ops.bitwise_and(ops.right_shift(bits, by), (1 << (32 - by)) - 1)


def _mixed(bits: Any) -> Any:
    """Lets every bit depend on all others."""
    for by, factor in ((16, _FIRST), (15, _SECOND)):
        bits = ops.bitwise_xor(bits, _shifted(bits, by))
        bits = bits * ops.convert_to_tensor(_signed(factor), "int32")
    return ops.bitwise_xor(bits, _shifted(bits, 16))


def exp(x: Any) -> Any:
    """Takes exponentials."""
    return ops.exp(x)


def isfinite(x: Any) -> Any:
    """Tells which elements are neither NaN nor infinite."""
    return ops.isfinite(x)


def maximum(x: Any, y: Any) -> Any:
    """Takes the larger ones of two tensors' elements."""
    return ops.maximum(x, y)


def mean(x: Any) -> Any:
    """Takes the mean of all elements."""
    return ops.mean(x)


def minimum(x: Any, y: Any) -> Any:
    """Takes the smaller ones of two tensors' elements."""
    return ops.minimum(x, y)


def ones(shape: Sequence[int], dtype: Any = "float32") -> Any:
    """Makes a tensor of ones."""
    return ops.ones(shape, dtype)


def reshape(x: Any, shape: Sequence[int]) -> Any:
    """Gives a tensor another shape."""
    return ops.reshape(x, shape)


def scatter(indices: Any, values: Any, size: int) -> Any:
    """Makes a vector of zeros that holds values, each at an index of its own."""
    if keras.backend.standardize_dtype(values.dtype) != "bool":
        return segment_sum(values, indices, size)
    return ops.cast(segment_sum(ops.cast(values, "int32"), indices, size), "bool")


def scatter_add(x: Any, indices: Any, values: Any) -> Any:
    """Adds values to the elements of a vector at these indices; `x` stays as it is."""
    return x + segment_sum(values, indices, x.shape[0])


def segment_sum(x: Any, segments: Any, count: int) -> Any:
    """Sums the elements of a vector that are of the same segment, of `count` segments."""
    return ops.segment_sum(x, segments, count)


def sqrt(x: Any) -> Any:
    """Takes square roots."""
    return ops.sqrt(x)


def square(x: Any) -> Any:
    """Takes squares."""
    return ops.square(x)


def sum(x: Any, axis: Sequence[int] | None = None) -> Any:
    """Sums over axes; over all of them if none is given."""
    return ops.sum(x, None if axis is None else tuple(axis))


def take(x: Any, indices: Any, axis: int = 0) -> Any:
    """Picks elements along an axis."""
    return ops.take(x, indices, axis)


def where(condition: Any, x: Any, y: Any) -> Any:
    """Picks elements of one tensor where a condition holds, of another where it does not."""
    return ops.where(condition, x, y)


def zeros(shape: Sequence[int], dtype: Any = "float32") -> Any:
    """Makes a tensor of zeros."""
    return ops.zeros(shape, dtype)
