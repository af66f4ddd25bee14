"""Random sums of a model's outputs, whose squared derivatives say how much the outputs change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_spp.frameworks.keras3.lockstep import conformed
from keras_spp.frameworks.keras3.probe import Probe

ops = keras.ops
ROUNDING = 1e-6  # relative difference of outputs that are the same


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
    derivatives = probe.derivatives(lambda outputs, *factors: _projected(outputs, factors, centred))

    def of(inputs: Any, seed: int, number: int) -> list[np.ndarray]:
        random = np.random.default_rng([seed, number])
        batch = conformed(probe.model, inputs)[0].shape[0]
        factors = [
            random.normal(size=(batch, *shape)).astype(np.float32)
            for shape in probe.output_sizes(inputs)
        ]
        return derivatives(inputs, *map(ops.convert_to_tensor, factors))

    return of


def _projected(outputs: Any, factors: Sequence[Any], centred: bool) -> Any:
    """Returns a random sum of all outputs whose square is, on average, their mean square.

    Each output is taken relative to its standard deviation. The factors are independent, so that
    products of different outputs, and of different samples, cancel in the mean. When centred they
    sum to 0 over samples and positions, unless there is but one: so a bias changes nothing. Of
    samples that are all alike only rounding would be left then, so they say nothing.

    Args:
        outputs: A structure of tensors, samples first; those of integers do not count.
        factors: Random numbers, for each output of its shape.
        centred: Whether to leave out what is the same for all samples.
    """
    total = ops.zeros(())
    for output, random in zip(keras.tree.flatten(outputs), factors, strict=True):
        if not keras.backend.is_float_dtype(keras.backend.standardize_dtype(output.dtype)):
            continue
        output = ops.cast(output, "float32")
        axes = tuple(range(len(output.shape)))[:-1] or None
        mean = ops.mean(random, axes, keepdims=True)
        if centred and np.prod(random.shape) > np.prod(mean.shape):
            spread = ops.max(ops.std(output, axes))
            alike = spread < ROUNDING * ops.max(ops.abs(output))
            random = ops.where(alike, 0.0, random - mean)
        deviation = ops.stop_gradient(ops.std(output))
        values = ops.divide_no_nan(output * random, deviation)
        total = total + ops.sum(values) / float(np.sqrt(np.prod(random.shape)))
    return total
