"""In which order groups go, where that is known before training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_spp import frameworks
from keras_spp.allocation import greedy
from keras_spp.compensation import choice
from keras_spp.compensation.samples import gathered
from keras_spp.core import scores
from keras_spp.core.groups import Groups
from keras_spp.core.schedule import OneShotSchedule, Schedule
from keras_spp.frameworks.interface import Model
from keras_spp.pruning.network import Scores

SAMPLES = 1024


def by_norms(model: Model, groups: Groups) -> Mapping[str, np.ndarray]:
    """Scores groups by the L1 norms of their weights, (size,) by the set's name."""
    return greedy.importance(groups, frameworks.of(model))


def by_data(batches: list[Any]) -> Scores:
    """Scores groups by what cannot be made up for, and by norms where no kernel tells that.

    Args:
        batches: Samples, as the model takes them.
    """

    def scored(model: Model, groups: Groups) -> Mapping[str, np.ndarray]:
        told = choice.importance(frameworks.of(model), model, groups, batches)
        return {**by_norms(model, groups), **told}

    return scored


def of_schedule(
    schedule: Schedule, model: Model, granularity: str, representative_data: Any
) -> Scores | None:
    """Returns by which scores a schedule will let groups go; None if training decides that.

    Args:
        schedule: The schedule.
        model: The dense model.
        granularity: Whether channels or columns are pruned.
        representative_data: What the model takes, or None.

    Raises:
        TypeError: If the score is computed from data and this is no data.
        ValueError: If there is none, or what `spp.compensate` refuses.
    """
    if scores.get(schedule.score).given:
        if representative_data is None:
            raise ValueError(
                f"`representative_data` must be given for the score {schedule.score!r}, which is "
                f"computed from samples, but is None."
            )
        return by_data(gathered(frameworks.of(model), model, representative_data, SAMPLES))
    # With one update it is too late to stop when freed producers meet the target.
    at_once = granularity == "column" and isinstance(schedule, OneShotSchedule)
    return by_norms if at_once else None
