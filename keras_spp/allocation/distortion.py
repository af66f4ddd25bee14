"""What a plan does to a network's outputs, beyond what statistics of its layers make up for."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_spp import frameworks
from keras_spp.allocation.greedy import importance
from keras_spp.allocation.sensitivity import change
from keras_spp.core.groups import Goals, Groups
from keras_spp.frameworks.data import chunks, fitting
from keras_spp.frameworks.interface import Hook, Layer, Model, Tensor
from keras_spp.rules.channelwise import channel_axis

CHUNK = 64  # samples that pass through the network together
ROUNDING = 1e-6  # relative difference of outputs that are the same


class Distortion:
    """What goals do to the outputs, beyond what statistics of the layers can make up for.

    Args:
        model: The dense model.
        groups: Its groups.
        representative_data: Samples that differ.
        samples: How many of them to measure with, at most.
        restored: Whether layers that lost inputs get back the mean and the standard deviation of
            their channels in the dense network. False measures outputs as they come, to compare.

    Raises:
        ValueError: If the model does not take the data, or makes of them what says nothing.
    """

    def __init__(
        self,
        model: Model,
        groups: Groups,
        representative_data: Any,
        samples: int,
        restored: bool = True,
    ) -> None:
        self.groups = groups
        self.framework = frameworks.of(model)
        self.importance = importance(groups, self.framework)
        readers = {id(reader.layer) for reader in groups.readers}
        self.probe = self.framework.Probe(
            model, groups, lambda layer: self._hook(layer) if id(layer) in readers else None
        )
        self.logits = self.framework.logits_of(model)
        self.statistics = self.framework.ChannelStatistics() if restored else None
        fixed = model.inputs[0].shape[0]
        size = fixed or min(CHUNK, samples)
        self.inputs = list(
            chunks(representative_data, size, -(-samples // size), bool(fixed), again=False)
        )
        with fitting(size, "Search"):
            self.outputs = self._outputs()
        self._check()

    def __call__(self, goals: Goals) -> float:
        """Returns the change of the outputs when the least important groups are pruned."""
        self.probe.zero(self.groups.kept(goals, self.importance))
        if self.statistics is not None:
            self.statistics.replay()
        changes = [change(*pair) for pair in zip(self.outputs, self._outputs(), strict=True)]
        self.probe.restore()
        result = float(np.average(changes, weights=[len(chunk[0]) for chunk in self.outputs]))
        return result if np.isfinite(result) else np.inf

    def _outputs(self) -> list[list[Tensor]]:
        """Computes those of the copy, by chunk: logits, where a softmax makes probabilities."""
        return [
            [self._restored(x, -1) for x in self.logits(outputs)]
            for outputs in self.probe.outputs(self.inputs, eager=True)
        ]

    def _hook(self, layer: Layer) -> Hook:
        """Restores the statistics of what comes out, but for probabilities."""
        axis, framework = channel_axis(layer), self.framework
        if framework.is_softmax(getattr(layer, "activation", None)):
            return lambda *_: None
        return lambda _, outputs: framework.map_structure(
            lambda x: self._restored(x, axis), outputs
        )

    def _restored(self, x: Tensor, axis: int) -> Tensor:
        """Gives each channel the mean and standard deviation that it had in the dense network."""
        return x if self.statistics is None else self.statistics.restored(x, axis)

    def _check(self) -> None:
        """Checks that the dense network's outputs are finite and differ."""
        by_output = [np.concatenate(parts) for parts in zip(*self.outputs, strict=True)]
        what = None
        if not all(np.isfinite(outputs).all() for outputs in by_output):
            what = "NaN or infinity in the outputs"
        elif all(
            len(outputs) > 1 and np.ptp(outputs, 0).max() <= ROUNDING * abs(outputs).max()
            for outputs in by_output
        ):
            what = "the same outputs for all samples"
        if what:
            raise ValueError(
                f"`representative_data` gives {what}, so spp.Search cannot say what matters: give "
                f"finite samples that differ, or another allocation."
            )
