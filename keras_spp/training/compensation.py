"""Compensation in the middle of training: once, when the last group is decided."""

from __future__ import annotations

from typing import Any

from keras_spp.compensation.compensate import compensate
from keras_spp.compensation.kept import Kept
from keras_spp.compensation.samples import gathered
from keras_spp.frameworks.interface import Model
from keras_spp.training.pruner import Pruner

COMPENSATED = 2  # the conductor's `finished`, where 1 says that all groups are decided


class Compensating:
    """Compensates a pruned model once, as soon as its last group is decided.

    That it has happened is noted in the model's state, so that a restored run knows it.

    Args:
        pruner: Drives the model's pruning.
        model: What is trained: the pruned model, or `spp.distill` of it.
        original: The model that `spp.prune` was given.
        representative_data: As `spp.compensate` takes it; looked at now.
        samples: How many samples to use, at most.

    Raises:
        TypeError: If `original` is no model, or `representative_data` no data.
        ValueError: If `original` is another model, the data are too few, all alike or not finite,
            or workers of their own train the model, which would end up with different weights.
    """

    def __init__(
        self, pruner: Pruner, model: Model, original: Model, representative_data: Any, samples: int
    ) -> None:
        framework = pruner.framework
        framework.check(original, "original")
        framework.require_one_process(model, "original")
        self._pruner, self._model, self._original = pruner, model, framework.opened(original)
        Kept(framework, model, self._original)
        self._batches = gathered(framework, self._original, representative_data, samples)
        self._samples = samples

    def run_if_due(self) -> None:
        """Compensates if all groups are decided and that has not been done."""
        finished = self._pruner.conductor.finished
        if int(self._pruner.framework.read(finished)) == 1:
            compensate(self._model, self._original, self._batches, self._samples)
            finished.assign(COMPENSATED)
