"""The functions of `keras_spp.core.arrays` in TensorFlow; a training step can hold them too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf


def cast(x: Any, dtype: Any) -> tf.Tensor:
    """Converts the elements to a type."""
    return tf.cast(x, dtype)


def concatenate(parts: Sequence[Any], axis: int = 0) -> tf.Tensor:
    """Joins tensors along an axis."""
    return tf.concat(parts, axis)


def ones(shape: Sequence[int], dtype: Any) -> tf.Tensor:
    """Makes a tensor of ones."""
    return tf.ones(shape, dtype)


def reshape(x: Any, shape: Sequence[int]) -> tf.Tensor:
    """Gives a tensor another shape."""
    return tf.reshape(x, shape)


def segment_sum(x: Any, segments: Any, count: int) -> tf.Tensor:
    """Sums the elements of a vector that are of the same segment, of `count` segments."""
    return tf.math.unsorted_segment_sum(x, segments, count)


def sum(x: Any, axis: Sequence[int] | None = None) -> tf.Tensor:
    """Sums over axes; over all of them if none is given."""
    return tf.reduce_sum(x, axis)


def take(x: Any, indices: Any, axis: int = 0) -> tf.Tensor:
    """Picks elements along an axis."""
    return tf.gather(x, indices, axis=axis)
