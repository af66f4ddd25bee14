"""Random sums of a model's outputs, whose squared derivatives say how much the outputs change."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_spp.frameworks.keras3.lockstep import conformed
from keras_spp.frameworks.keras3.probe import Probe

ops = keras.ops
ROUNDING = 1e-6  # relative difference of outputs that are the same


def projected_derivatives(probe: Probe) -> Callable[[Any, int, int], list[np.ndarray]]:
    """Returns a function that differentiates a random sum of all outputs by a factor of each group.

    Args:
        probe: A copy of a model, with its groups.

    Returns:
        A function of one batch of inputs, of a seed and of the number of the sum: for each reader
        of the groups the derivatives, shape (groups,).
    """
    derivatives = probe.derivatives(_projected)

    def of(inputs: Any, seed: int, number: int) -> list[np.ndarray]:
        random = np.random.default_rng([seed, number])
        batch = conformed(probe.model, inputs)[0].shape[0]
        factors = [_factors(random, (batch, *sizes)) for sizes in probe.output_sizes(inputs)]
        return derivatives(inputs, *map(ops.convert_to_tensor, itertools.chain(*factors)))

    return of


def _factors(random: np.random.Generator, shape: tuple[int, ...]) -> tuple[np.ndarray, np.bool_]:
    """Returns random factors for an output, and whether samples that are all alike say nothing.

    Their mean square is 1 / size. They sum to 0 over samples and positions, unless there is but
    one: so a bias changes nothing.
    """
    factors = random.normal(size=shape).astype(np.float32)
    mean = factors.mean(tuple(range(len(shape) - 1)), keepdims=True)
    many = factors.size > mean.size
    return (factors - mean if many else factors) / np.float32(np.sqrt(factors.size)), np.bool_(many)


def _projected(outputs: Any, *factors: Any) -> Any:
    """Returns a random sum of all outputs whose square is, on average, their mean square.

    Each output is taken relative to its standard deviation. The factors are independent, so that
    products of different outputs, and of different samples, cancel in the mean. Of samples that
    are all alike only rounding would be left, so they say nothing.

    Args:
        outputs: A structure of tensors, samples first; those of integers do not count.
        factors: For each output what `_factors` returns.
    """
    total = ops.zeros(())
    pairs = zip(factors[::2], factors[1::2], strict=True)
    for output, (factor, many) in zip(keras.tree.flatten(outputs), pairs, strict=True):
        if not keras.backend.is_float_dtype(keras.backend.standardize_dtype(output.dtype)):
            continue
        output = ops.cast(output, "float32")
        axes = tuple(range(len(output.shape) - 1)) or None
        spread = ops.max(ops.std(output, axes))
        alike = ops.logical_and(many, spread < ROUNDING * ops.max(ops.abs(output)))
        values = output * ops.where(alike, 0.0, factor)
        deviation = ops.stop_gradient(ops.std(output))
        total = total + ops.sum(ops.divide_no_nan(values, deviation))
    return total
