"""Derivatives of random sums of a model's outputs: their squares say how much outputs change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_spp.frameworks.keras3.probe import Probe


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

    Raises:
        NotImplementedError: On a backend that is not TensorFlow.
    """

    def scalar(outputs: Any, seed: Any) -> Any:
        from keras_spp.frameworks.tensorflow.projection import projected

        return projected(outputs, seed, centred)

    derivatives = probe.derivatives(scalar)

    def of(inputs: Any, seed: int, number: int) -> list[np.ndarray]:
        return derivatives(inputs, keras.ops.convert_to_tensor([seed, number], "int64"))

    return of
