"""Derivatives of random sums of a model's outputs: their squares say how much outputs change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from keras_spp.frameworks.tensorflow.projection import projected
from keras_spp.frameworks.tf_keras.probe import Probe


def projected_derivatives(
    probe: Probe, centred: bool
) -> Callable[[Any, int, int], list[np.ndarray]]:
    """Returns a function that differentiates a random sum of all outputs by a factor of each group.

    Args:
        probe: A copy of a model, with its groups.
        centred: Whether to leave out what is the same for all samples.

    Returns:
        A function of one batch of inputs, of a seed and of the number of the sum: for each reader
        of the groups the derivatives, shape (groups,).
    """
    derivatives = probe.derivatives(lambda outputs, seed: projected(outputs, seed, centred))
    return lambda inputs, seed, number: derivatives(inputs, tf.constant([seed, number], tf.int64))
