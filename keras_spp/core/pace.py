"""Whether the steps to come suffice for the target, and which frequency suits them: in numbers."""

from __future__ import annotations

from dataclasses import dataclass

from keras_spp.core.probability import LIMIT
from keras_spp.core.schedule import Schedule

# Of the steps that are planned when no frequency is given, this share goes to pruning and the
# rest to fine-tuning: more steps to explore cost more than they gain (docs/measured/schedule.md).
PRUNING_SHARE = 0.1


@dataclass(frozen=True)
class Pace:
    """Training that is to come, and what pruning needs of it.

    Attributes:
        schedule: Decides when updates happen.
        first: Training steps made before.
        steps: Training steps to come, at least 1.
        needed: Updates that are still needed to meet all goals; None if that is not known.
    """

    schedule: Schedule
    first: int
    steps: int
    needed: int | None

    @property
    def idle(self) -> int:
        """Steps before an update can happen: to begin_step, and there must be some training."""
        return 1 + max(self.schedule.begin_step - self.first, 0)

    @property
    def room(self) -> int:
        """Steps in which updates can happen."""
        return max(self.steps - self.idle, 0)

    @property
    def end(self) -> int:
        """Training steps made when all is over."""
        return self.first + self.steps

    def goes_on(self, until: int) -> bool:
        """Says whether these are steps of a run that was planned until a step, or what is left.

        A run that goes on ends where it was to end, or later; one that was cut short does not.
        """
        return self.first < until <= self.end

    def frequency(self) -> int:
        """Chooses the steps between updates."""
        updates = LIMIT if self.needed is None else max(self.needed, 1)
        return max(int(self.room * PRUNING_SHARE) // updates, 1)

    def shortfall(self, frequency: int, made: int) -> str | None:
        """Says what is wrong if the updates to come may not suffice.

        Args:
            frequency: Training steps between updates.
            made: Updates made before.

        Returns:
            A sentence, or None if they suffice.

        Raises:
            ValueError: If no update has happened and none would.
        """
        schedule, needed = self.schedule, self.needed
        if needed == 0:
            return None
        updates = schedule.updates_in(self.end, frequency)
        updates -= schedule.updates_in(self.first, frequency)
        advice = schedule.advice
        if needed is not None and self.room < needed:
            advice = f"no frequency would do; {advice} or train for {needed + self.idle} steps"
        elif needed is not None:
            advice = f"the largest frequency that would do is {self.room // needed}"
        message = (
            f"{self.steps} steps with frequency={frequency} and begin_step={schedule.begin_step} "
            f"give {updates} updates of the pruning probabilities, the target needs "
            f"{'an unknown number' if needed is None else f'about {needed}'}; {advice}."
        )
        if updates == 0 and made == 0:
            raise ValueError(f"SPP would prune nothing: {message}")
        if needed is None:
            return f"SPP may not reach its target: {message}"
        return f"SPP will not reach its target: {message}" if updates < needed else None
