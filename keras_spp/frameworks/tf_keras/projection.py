"""Derivatives of random sums of a model's outputs: their squares say how much outputs change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from keras_spp.frameworks.tf_keras.probe import Probe

ROUNDING = 1e-6  # relative difference of outputs that are the same


def projected_derivatives(probe: Probe) -> Callable[[Any, int, int], list[np.ndarray]]:
    """Returns a function that differentiates a random sum of all outputs by a factor of each group.

    Args:
        probe: A copy of a model, with its groups.

    Returns:
        A function of one batch of inputs, of a seed and of the number of the sum: for each reader
        of the groups the derivatives, shape (groups,).
    """
    derivatives = probe.derivatives(projected)
    return lambda inputs, seed, number: derivatives(inputs, tf.constant([seed, number], tf.int64))


def projected(outputs: Any, seed: tf.Tensor) -> tf.Tensor:
    """Returns a random sum of all outputs whose square is, on average, their mean square.

    Each output is taken relative to its standard deviation. The factors are independent, so that
    products of different outputs, and of different samples, cancel in the mean. The factors sum
    to 0 over samples and positions, unless there is but one: so a bias changes nothing. Of samples
    that are all alike only rounding would be left then, so they say nothing.

    Args:
        outputs: A structure of tensors, samples first; those of integers do not count.
        seed: Decides the factors, shape (2,), int64.
    """
    total = tf.zeros([])
    for number, output in enumerate(tf.nest.flatten(outputs)):
        if output.dtype.is_floating:
            output = tf.cast(output, tf.float32)
            factors = tf.random.stateless_normal(
                tf.shape(output), seed + tf.constant([number, 0], tf.int64)
            )
            axes = list(range(output.shape.rank or 0))[:-1] or None
            mean = tf.reduce_mean(factors, axes, keepdims=True)
            many = tf.size(factors) > tf.size(mean)
            spread = tf.reduce_max(tf.math.reduce_std(output, axes))
            alike = many & (spread < ROUNDING * tf.reduce_max(tf.abs(output)))
            factors = tf.where(alike, 0.0, factors - tf.where(many, mean, 0.0))
            deviation = tf.stop_gradient(tf.math.reduce_std(output))
            values = tf.math.divide_no_nan(output * factors, deviation)
            total += tf.reduce_sum(values) / tf.sqrt(tf.cast(tf.size(values), tf.float32))
    return total
