"""Whether the steps to come suffice for the target, and which frequency suits them."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from keras_spp.core import probability
from keras_spp.frameworks.tf_keras.variables import host

if TYPE_CHECKING:
    from keras_spp.training.pruner import Pruner

# Of the steps that are planned when no frequency is given, this share goes to pruning and the
# rest to fine-tuning: more steps to explore cost more than they gain (docs/ablations.md).
PRUNING_SHARE = 0.1


def plan(pruner: Pruner, steps: int | None) -> None:
    """What `Pruner.plan` does."""
    if steps is None and not pruner.frequency():
        raise ValueError(
            "SPPSchedule has no frequency and the number of training steps is not known: "
            "give spp.SPPSchedule(frequency=...) or fit(..., steps_per_epoch=...)."
        )
    pruner.planned = True
    first = int(pruner.clock())
    if not int(host(pruner.conductor.finished)):
        pruner.faults.start(first)
        _warn_of_frozen_layers(pruner)
    if steps is None:
        return
    needed = pruner.updates_needed()
    # No update happens before begin_step, nor before there was any training.
    idle = 1 + max(pruner.schedule.begin_step - first, 0)
    room = max(steps - idle, 0)
    until = int(host(pruner.conductor.planned_until))
    # A run that goes on ends where it was to end, or later; one that was cut short does not.
    if pruner.schedule.frequency is None and not first < until <= first + steps:
        updates = probability.LIMIT if needed is None else max(needed, 1)
        pruner.conductor.frequency.assign(max(int(room * PRUNING_SHARE) // updates, 1))
        pruner.conductor.planned_until.assign(first + steps)
    if needed == 0:
        return
    advice = pruner.schedule.advice
    if needed is not None and room < needed:
        advice = f"no frequency would do; {advice} or train for {needed + idle} steps"
    elif needed is not None:
        advice = f"the largest frequency that would do is {room // needed}"
    _check(pruner, first, steps, needed, advice)


def _warn_of_frozen_layers(pruner: Pruner) -> None:
    held = (pruner.sets.goal > pruner.sets_in_training().goal).tolist()
    if any(held):
        names = [name for name, each in zip(pruner.names, held, strict=True) if each]
        warnings.warn(
            f"SPP will not reach its target: frozen layers read the channels of {names}, which "
            f"are left alone; freeze them before spp.prune, which then leaves their goals to "
            f"other layers, or set trainable=True.",
            stacklevel=4,
        )


def _check(pruner: Pruner, first: int, steps: int, needed: int | None, advice: str) -> None:
    schedule, frequency = pruner.schedule, pruner.frequency()
    made = schedule.updates_in(first + steps, frequency) - schedule.updates_in(first, frequency)
    message = (
        f"{steps} steps with frequency={frequency} and begin_step={schedule.begin_step} give "
        f"{made} updates of the pruning probabilities, the target needs "
        f"{'an unknown number' if needed is None else f'about {needed}'}; {advice}."
    )
    if made == 0 and int(host(pruner.conductor.updates_made)) == 0:
        raise ValueError(f"SPP would prune nothing: {message}")
    if needed is None:
        warnings.warn(f"SPP may not reach its target: {message}", stacklevel=4)
    elif made < needed:
        warnings.warn(f"SPP will not reach its target: {message}", stacklevel=4)
