"""What stands behind a layer: a normalisation for its intercept, an addition to make up for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_spp.compensation.kernels import Kernel, at_positions
from keras_spp.core.kinds import is_a
from keras_spp.frameworks.interface import Adapter
from keras_spp.rules.channelwise import BATCH_NORMALIZATIONS, channel_axis

Keep = slice | np.ndarray
HIDDEN = 1e-3  # a scale beside the largest, below which the normalisation hides the layer
_IDENTITIES = (  # in inference
    "ActivityRegularization", "AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise",
    "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D",
)  # fmt: skip


@dataclass(frozen=True)
class Normalization:
    """The batch normalisation behind a layer, and the one behind the original's.

    Attributes:
        framework: The adapter of both.
        layer: The normalisation.
        original: The original's.
        calls: Which calls are its own.
    """

    framework: Adapter
    layer: Any
    original: Any
    calls: list[int]

    def intercept(self, keep: Keep) -> np.ndarray:
        """Returns what the layer's outputs are increased by, beside the original's."""
        read, layer = self.framework.read, self.layer
        intercept = self._read("moving_mean", keep) - read(layer.moving_mean)
        if layer.beta is None:
            return intercept
        return intercept + self.before(read(layer.beta) - self._read("beta", keep), keep)

    def assign(
        self, intercept: np.ndarray, keep: Keep, mean: np.ndarray, variance: np.ndarray
    ) -> None:
        """Lets the normalisation do what the original's does, and add an intercept before.

        Its statistics become those of what really arrives, and its scale and offset make up for
        that, so that in training, by the statistics of a batch, it does the same. Without a scale
        or an offset the statistics are the original's: others would undo a part of what is won.

        Args:
            intercept: What is to be added, shape (channels,).
            keep: Which channels of the original are left.
            mean: The mean of the layer's outputs without the intercept.
            variance: Their variance.
        """
        write, layer, epsilon = self.framework.write, self.layer, self.original.epsilon
        dense_mean = self._read("moving_mean", keep)
        dense_variance = self._read("moving_variance", keep)
        if layer.gamma is None:
            variance = dense_variance
        else:
            ratio = (variance + epsilon) / (dense_variance + epsilon)
            write(layer.gamma, self._read("gamma", keep) * np.sqrt(ratio))
        if layer.beta is None:
            mean = dense_mean - intercept
        else:
            offset = self.scale(keep) * (mean + intercept - dense_mean)
            write(layer.beta, self._read("beta", keep) + offset)
        write(layer.moving_mean, mean)
        write(layer.moving_variance, variance)

    def scale(self, keep: Keep) -> np.ndarray:
        """Returns what the original's multiplies each output with."""
        scale = 1 / np.sqrt(self._read("moving_variance", keep) + self.original.epsilon)
        return scale * self._read("gamma", keep) if self.original.scale else scale

    def before(self, values: np.ndarray, keep: Keep) -> np.ndarray:
        """Returns what, in its inputs, makes these differences of its outputs; 0 where it hides."""
        scale = self.scale(keep)
        hidden = np.abs(scale) <= HIDDEN * np.abs(scale).max()
        return np.where(hidden, 0, values / np.where(hidden, 1, scale))

    def _read(self, name: str, keep: Keep) -> np.ndarray:
        """Returns a variable of the original's in float64."""
        return self.framework.read(getattr(self.original, name))[keep].astype(np.float64)


@dataclass(frozen=True)
class Addition:
    """The addition that takes a layer's outputs, and what it takes besides.

    Attributes:
        others: The numbers of the other tensors.
        axis: The axis of the channels.
        normalization: The normalisation between the layer and the addition, if there is one.
    """

    others: list[int]
    axis: int
    normalization: Normalization | None

    def others_of(
        self, originals: Any, shape: Any, positions: np.ndarray
    ) -> list[np.ndarray] | None:
        """Returns the other inputs in the original.

        Args:
            originals: The tensors of the original by their numbers, as far as they are there.
            shape: That of the original layer's outputs.
            positions: Which positions of each sample.

        Returns:
            Rows of each, shape (samples * positions, channels); None if one is not there yet, or
            is spread over the outputs.
        """
        for other in self.others:
            if other not in originals or tuple(originals[other].shape) != tuple(shape):
                return None
        return [at_positions(np.asarray(originals[n]), positions, self.axis) for n in self.others]

    def lacking(
        self, tensors: Any, wanted: list[np.ndarray], positions: np.ndarray, keep: Keep
    ) -> np.ndarray:
        """Returns what the other inputs lack, in the units of the layer's outputs.

        Args:
            tensors: The tensors of the model by their numbers.
            wanted: Rows of the other inputs in the original.
            positions: Which positions of each sample.
            keep: Which channels of the original are left.

        Returns:
            Rows, shape (samples * positions, channels).
        """
        lacking: Any = 0.0
        for other, rows in zip(self.others, wanted, strict=True):
            own = at_positions(np.asarray(tensors[other]), positions, self.axis)
            lacking = lacking + rows[:, keep] - own
        if self.normalization is None:
            return lacking
        return self.normalization.before(lacking, keep)


def normalization(
    framework: Adapter, lockstep: Any, calls: Sequence[int], kernel: Kernel
) -> Normalization | None:
    """Returns the normalisation of a layer's outputs; None if nothing could be added in it."""
    layer = kernel.layer
    if not framework.is_linear(layer):
        return None
    behind = []
    for at in calls:
        after = lockstep.consumers(lockstep.steps[at].outputs[0])
        if len(after) != 1 or after[0] == len(lockstep.steps):
            return None
        behind.append(after[0])
    normalizations = [lockstep.steps[at] for at in behind]
    first = normalizations[0].layer
    if any(step.layer is not first for step in normalizations):
        return None
    if not is_a(first, *BATCH_NORMALIZATIONS) or lockstep.calls_of(first) != behind:
        return None
    if framework.is_frozen(first) or getattr(first, "renorm", False):
        return None
    if getattr(first, "virtual_batch_size", None) is not None:
        return None
    if any(step.kwargs.get("training") for step in normalizations):  # statistics of the batch
        return None
    axis = first.axis if isinstance(first.axis, int) else next(iter(first.axis))
    rank = first.input_spec.ndim
    if axis % rank != (channel_axis(layer) + lockstep.steps[calls[0]].repeated) % rank:
        return None
    return Normalization(framework, first, lockstep.original_steps[behind[0]].layer, behind)


def additions(
    framework: Adapter,
    lockstep: Any,
    calls: Sequence[int],
    kernel: Kernel,
    between: Normalization | None,
) -> dict[int, Addition]:
    """Finds the addition behind each call of a layer, if nothing but a normalisation is between."""
    if not framework.is_linear(kernel.layer) or lockstep.steps[calls[0]].repeated:
        return {}
    starts = calls if between is None else between.calls
    result = {}
    for at, start in zip(calls, starts, strict=True):
        number = lockstep.steps[start].outputs[0]
        while True:
            after = lockstep.consumers(number)
            if len(after) != 1 or after[0] == len(lockstep.steps):
                break
            step = lockstep.steps[after[0]]
            if step.adds:
                others = list(step.inputs)
                others.remove(number)
                if number not in others:
                    axis = channel_axis(kernel.layer)
                    result[at] = Addition(others, axis, between)
                break
            if not is_a(step.layer, *_IDENTITIES):
                break
            number = step.outputs[0]
    return result
