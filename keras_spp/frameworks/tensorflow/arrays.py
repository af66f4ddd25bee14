"""The functions of `keras_spp.core.arrays` in TensorFlow; a training step can hold them too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf


def abs(x: Any) -> tf.Tensor:
    """Takes magnitudes."""
    return tf.abs(x)


def all(x: Any) -> tf.Tensor:
    """Tells whether all elements are true."""
    return tf.reduce_all(x)


def argsort(x: Any) -> tf.Tensor:
    """Sorts a vector in ascending order, equal elements in theirs; returns indices, int32."""
    return tf.argsort(x, stable=True)


def cast(x: Any, dtype: Any) -> tf.Tensor:
    """Converts the elements to a type."""
    return tf.cast(x, dtype)


def ceil(x: Any) -> tf.Tensor:
    """Rounds up."""
    return tf.math.ceil(x)


def clip(x: Any, low: float, high: float) -> tf.Tensor:
    """Moves what is outside of a range to its ends."""
    return tf.clip_by_value(x, low, high)


def concatenate(parts: Sequence[Any], axis: int = 0) -> tf.Tensor:
    """Joins tensors along an axis."""
    return tf.concat(parts, axis)


def divide_no_nan(x: Any, y: Any) -> tf.Tensor:
    """Divides; where the divisor is 0 the result is 0."""
    return tf.math.divide_no_nan(x, y)


def draw(p: Any, seed: int, step: Any) -> tf.Tensor:
    """Draws a mask: a pure function of seed, step and p, the same wherever it is computed.

    It is ``tf.random.stateless_uniform(tf.shape(p), seed=[seed, step]) >= p`` as that is outside
    of XLA.

    Args:
        p: Pruning probabilities, any shape, float32.
        seed: The set's seed, in [0, 2**31).
        step: Training step, scalar integer.

    Returns:
        Booleans of p's shape: True where a group takes part in this step.
    """
    seed = tf.stack([tf.constant(seed, tf.int64), tf.cast(step, tf.int64)])
    # tf.random.stateless_uniform draws the same bits everywhere but makes other floats of them
    # under XLA (from the high bits, not the low ones): so they are made here, as it does without.
    bits = tf.random.stateless_uniform(tf.shape(p), seed, None, None, dtype=tf.uint32, alg="philox")
    mantissa = tf.bitwise.bitwise_and(bits, tf.constant(0x7FFFFF, tf.uint32))
    one_to_two = tf.bitwise.bitwise_or(mantissa, tf.constant(0x3F800000, tf.uint32))
    return tf.bitcast(one_to_two, tf.float32) - 1 >= p


def exp(x: Any) -> tf.Tensor:
    """Takes exponentials."""
    return tf.exp(x)


def isfinite(x: Any) -> tf.Tensor:
    """Tells which elements are neither NaN nor infinite."""
    return tf.math.is_finite(x)


def maximum(x: Any, y: Any) -> tf.Tensor:
    """Takes the larger ones of two tensors' elements."""
    return tf.maximum(x, y)


def mean(x: Any) -> tf.Tensor:
    """Takes the mean of all elements."""
    return tf.reduce_mean(x)


def minimum(x: Any, y: Any) -> tf.Tensor:
    """Takes the smaller ones of two tensors' elements."""
    return tf.minimum(x, y)


def ones(shape: Sequence[int], dtype: Any = "float32") -> tf.Tensor:
    """Makes a tensor of ones."""
    return tf.ones(shape, dtype)


def reshape(x: Any, shape: Sequence[int]) -> tf.Tensor:
    """Gives a tensor another shape."""
    return tf.reshape(x, shape)


def scatter(indices: Any, values: Any, size: int) -> tf.Tensor:
    """Makes a vector of zeros that holds values, each at an index of its own."""
    return tf.scatter_nd(indices[:, None], values, [size])


def scatter_add(x: Any, indices: Any, values: Any) -> tf.Tensor:
    """Adds values to the elements of a vector at these indices; `x` stays as it is."""
    return tf.tensor_scatter_nd_add(x, indices[:, None], values)


def segment_sum(x: Any, segments: Any, count: int) -> tf.Tensor:
    """Sums the elements of a vector that are of the same segment, of `count` segments."""
    return tf.math.unsorted_segment_sum(x, segments, count)


def sqrt(x: Any) -> tf.Tensor:
    """Takes square roots."""
    return tf.sqrt(x)


def square(x: Any) -> tf.Tensor:
    """Takes squares."""
    return tf.square(x)


def sum(x: Any, axis: Sequence[int] | None = None) -> tf.Tensor:
    """Sums over axes; over all of them if none is given."""
    return tf.reduce_sum(x, axis)


def take(x: Any, indices: Any, axis: int = 0) -> tf.Tensor:
    """Picks elements along an axis."""
    return tf.gather(x, indices, axis=axis)


def where(condition: Any, x: Any, y: Any) -> tf.Tensor:
    """Picks elements of one tensor where a condition holds, of another where it does not."""
    return tf.where(condition, x, y)


def zeros(shape: Sequence[int], dtype: Any = "float32") -> tf.Tensor:
    """Makes a tensor of zeros."""
    return tf.zeros(shape, dtype)
