"""Moves the pruning probabilities of a model, inside its own training step.

Everything that decides (ranking, probabilities, masks, the end of a layer) is a function of the
model's variables and the optimizer's step counter, computed in the training step itself. So it
is the same in eager and graph mode, compiled by XLA, with several steps per execution, on every
replica and after a restore, and does not depend on the order of callbacks.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from keras_spp.core import decision, scores
from keras_spp.core.cost import MACs
from keras_spp.core.pace import Pace
from keras_spp.core.probability import Sets
from keras_spp.frameworks.interface import Model, Tensor
from keras_spp.training.fingerprint import check_identity, give_identity, of_plan
from keras_spp.training.state import State

TOLD = 100  # passes in eager mode after which one looks whether something is to be told


@dataclass(frozen=True)
class Progress:
    """How far a pruned model is.

    Attributes:
        step: Training steps made (the optimizer's counter).
        updates: Updates of the pruning probabilities made.
        pruned: Groups pruned for good.
        goal: Groups to prune.
        decided: Share of groups whose fate is sealed, in [0, 1].
        macs_speedup: Dense MACs over the MACs that remain.
        finished: Whether pruning has met its target and is over.
    """

    step: int
    updates: int
    pruned: int
    goal: int
    decided: float
    macs_speedup: float
    finished: bool

    def to_dict(self) -> dict[str, Any]:
        """Returns plain numbers."""
        return asdict(self)


class Pruner(State):
    """Attaches to a pruned model so that its training steps prune.

    `SPPCallback` does this for `fit`. For a training loop of your own make one before the first
    step; with tf_keras nothing has to be called inside the loop, with Keras 3 `begin_step` and
    `end_step` around each step. If the loop applies another optimizer than the
    one given, so that no step counts, `progress`, `plan`, `finish_if_reached` and `spp.shrink` warn
    of it, and in eager mode the steps themselves do. (With granularity="column" a call of
    `finish_if_reached` between two steps ends pruning at the target speedup, if that is reached
    before the last layer's goal.)

    Args:
        model: What `spp.prune` returned, or such a model loaded from a file.
        optimizer: The optimizer whose `iterations` count the training steps; None for the one
            that the model is compiled with.

    Raises:
        ValueError: If the model is not pruned, or holds the state of one that was pruned otherwise
            (then also from `plan` and `progress`, for what is restored later).

    Example:
        >>> import tensorflow as tf, tf_keras as keras, keras_spp as spp
        >>> model = keras.Sequential([
        ...     keras.Input((4,)), keras.layers.Dense(32), keras.layers.Dense(2)])
        >>> pruned = spp.prune(model, pruning_ratio=0.5, schedule=spp.SPPSchedule(A=0.5))
        >>> optimizer = keras.optimizers.SGD(0.01)
        >>> pruner = spp.Pruner(pruned, optimizer)
        >>> pruner.plan(steps=60)
        >>> for step in range(60):
        ...     with tf.GradientTape() as tape:
        ...         loss = tf.reduce_mean(pruned(tf.ones([8, 4]), training=True) ** 2)
        ...     gradients = tape.gradient(loss, pruned.trainable_variables)
        ...     _ = optimizer.apply_gradients(zip(gradients, pruned.trainable_variables))
        >>> pruner.progress().finished
        True
    """

    def __init__(self, model: Model, optimizer: Any = None) -> None:
        super().__init__(model)
        self._optimizer = optimizer
        give_identity(self.framework, self.wrappers)
        check_identity(self.framework, self.wrappers)
        self._weights = [masked.weight for wrapper in self.wrappers for masked in wrapper.masked]
        self._passes = 0  # made eagerly
        self.planned = self.frequency() > 0
        self.moves = False
        self.framework.attach(model, self.wrappers, self)

    @property
    def optimizer(self) -> Any:
        """The one given, or the one that the model is compiled with; None if there is none."""
        return self._optimizer or super().optimizer

    def counts_steps(self) -> bool:
        """Says whether there is an optimizer to count training steps with."""
        return self.optimizer is not None

    # -- inside the training step ------------------------------------------------------------

    def clock(self) -> Tensor:
        """Tells the training step: how many updates the optimizer has made, a scalar integer."""
        optimizer = self.optimizer
        if optimizer is None:
            raise RuntimeError(
                "Pruner has no optimizer to count training steps with: compile the model or give "
                "spp.Pruner(model, optimizer)."
            )
        return self.framework.arrays.cast(optimizer.iterations, "int64")

    def move(self) -> None:
        """Moves all probabilities if an update is due; called in every training step."""
        if not self.planned:
            raise RuntimeError(
                "SPPSchedule has no frequency and none was chosen: pass "
                "callbacks=[spp.SPPCallback()] to fit, call Pruner.plan(steps), or give "
                "spp.SPPSchedule(frequency=...)."
            )
        arrays, step = self.framework.arrays, self.clock()
        moved = step != arrays.cast(self.conductor.pruning_step, "int64")
        # One update per step even if the step calls the model several times.
        frequency = self.schedule.frequency or self.conductor.frequency
        unfinished = arrays.cast(self.conductor.finished, "int64") < 1
        due = self.schedule.due(step, frequency) & moved & unfinished
        self.conductor.standstill.note(moved, self._weights)
        self.framework.when(due, self._update, self)
        self.conductor.pruning_step.assign(step)
        self.moves = True
        if self.framework.is_eager():
            self._passes += 1
            if self._passes % TOLD == 0:
                self.tell()

    def _update(self) -> None:
        conductor, schedule, arrays = self.conductor, self.schedule, self.framework.arrays
        before = decision.State(
            self.probabilities(),
            [arrays.cast(wrapper.score, "float32") for wrapper in self.wrappers],
            arrays.cast(conductor.updates_made, "int64"),
            arrays.cast(conductor.finished, "int64"),
        )
        new = scores.get(schedule.score).of(arrays, self.wrappers, lambda: self.coupling)
        scored = decision.accumulated(schedule, before.scores, new)
        sound = self.faults.note(self.clock(), self.wrappers, scored)
        sets = self.sets_in_training()
        after, scale = decision.decide(arrays, schedule, self.groups, sets, before, scored, sound)
        for wrapper, score in zip(self.wrappers, after.scores, strict=True):
            wrapper.score.assign(score)
        self._settle(after.p, scale)
        conductor.updates_made.assign(after.made)
        conductor.finished.assign(after.finished)

    def sets_in_training(self) -> Sets:
        """Returns the sets, without a goal where a frozen layer reads them: it is left alone."""
        layers = [wrapper.layer for wrapper in self.wrappers]
        frozen = [self.framework.is_frozen(layer) for layer in layers]
        return self.groups.without(np.flatnonzero(frozen).tolist())

    def set_probabilities(self, p: Tensor | np.ndarray) -> None:
        """Writes probabilities of all groups, shape (groups,), into every layer that reads them.

        A p of 1 fixes the mask, but weights stay as they are: an update scales them.
        """
        arrays = self.framework.arrays
        parts = self.groups.split(arrays, arrays.cast(p, "float32"))
        for wrapper, part in zip(self.wrappers, parts, strict=True):
            wrapper.p.assign(part)
            wrapper.mask.assign(arrays.cast(part < 1, "float32"))

    def _settle(self, p: Tensor, scale: Tensor) -> None:
        """Writes probabilities, and multiplies the groups' weights."""
        parts = self.groups.split(self.framework.arrays, scale)
        for wrapper, part in zip(self.wrappers, parts, strict=True):
            wrapper.multiply(part)
        self.set_probabilities(p)

    # -- what a loop of one's own calls, with Keras 3 ------------------------------------------

    def begin_step(self) -> None:
        """Moves probabilities and draws masks, before each training step of a loop of your own.

        With tf_keras the model does that when it is called, and this does nothing.
        """
        self.framework.begin_step(self)

    def end_step(self) -> None:
        """Keeps what is pruned at zero, after each training step of a loop of your own.

        With tf_keras the optimizer does that, and this does nothing.
        """
        self.framework.end_step(self)

    def stateless_begin_step(
        self, trainable: Sequence[Any], non_trainable: Sequence[Any], optimizer: Sequence[Any]
    ) -> tuple[list[Any], list[Any], list[Any]]:
        """Does what `begin_step` does to values, as JAX' training steps have them.

        Args:
            trainable: Those of `model.trainable_variables`.
            non_trainable: Those of `model.non_trainable_variables`.
            optimizer: Those of `optimizer.variables`.

        Returns:
            The new values of all three.
        """
        return self.framework.stateless(
            self, self.begin_step, (trainable, non_trainable, optimizer)
        )

    def stateless_end_step(
        self, trainable: Sequence[Any], non_trainable: Sequence[Any], optimizer: Sequence[Any]
    ) -> tuple[list[Any], list[Any], list[Any]]:
        """Does what `end_step` does to values; see `stateless_begin_step`."""
        return self.framework.stateless(self, self.end_step, (trainable, non_trainable, optimizer))

    # -- around it ---------------------------------------------------------------------------

    def plan(self, steps: int | None) -> None:
        """Chooses the frequency if none was given, and says now if the target is out of reach.

        A frequency that was chosen stays until the steps it was chosen for have been made, or
        fewer are to come. Under MultiWorkerMirroredStrategy all workers have to call this.

        Args:
            steps: Training steps (updates of the optimizer) to come, at least 1; None if they are
                not known.

        Raises:
            ValueError: If no frequency was given and `steps` is None, if no update has
                happened yet and none would in these steps, or if workers differ in what they
                are about to train.
            FloatingPointError: If weights hold NaN or infinity.

        Warns:
            UserWarning: If the steps do not suffice, with the numbers and the largest
                frequency that would do; if layers to be pruned are frozen; or if the steps until
                now were not counted, because the loop applies another optimizer.
        """
        check_identity(self.framework, self.wrappers)
        if steps is None:  # otherwise the updates that are needed are counted, which tells it too
            self.tell()
        self.framework.require_alike(self.model, lambda: self._common(steps))
        if steps is None and not self.frequency():
            raise ValueError(
                "SPPSchedule has no frequency and the number of training steps is not known: "
                "give spp.SPPSchedule(frequency=...) or fit(..., steps_per_epoch=...)."
            )
        self.planned = True
        first = int(self.clock())
        if not self.finished:
            self.faults.start(first)
            if held := self._held():
                warnings.warn(
                    f"SPP will not reach its target: frozen layers read the channels of {held}, "
                    f"which are left alone; freeze them before spp.prune, which then leaves their "
                    f"goals to other layers, or set trainable=True.",
                    stacklevel=2,
                )
        if steps is None:
            return
        pace, conductor = Pace(self.schedule, first, steps, self.updates_needed()), self.conductor
        if self.schedule.frequency is None and not pace.goes_on(
            int(self.framework.read(conductor.planned_until))
        ):
            conductor.frequency.assign(pace.frequency())
            conductor.planned_until.assign(pace.end)
        if message := pace.shortfall(self.frequency(), self.updates):
            warnings.warn(message, stacklevel=2)

    def _common(self, steps: int | None) -> list[int]:
        """Lists what must be alike on all workers, see `distribution.COMMON`."""
        plan = of_plan(self.wrappers, self.schedule)
        return [
            plan,
            self.framework.checksum(self.model),
            int(self.clock()),
            -1 if steps is None else steps,
        ]

    def _held(self) -> list[str]:
        """Names the sets that frozen layers keep from their goals."""
        held = self.sets.goal > self.sets_in_training().goal
        return [name for name, is_held in zip(self.names, held, strict=True) if is_held]

    def updates_needed(self) -> int | None:
        """Simulates how many updates meet every goal; None if they never would be met."""
        if self.missing() == 0:
            return 0
        return self.schedule.updates_needed(self.values(), self.sets, self.updates)

    @cached_property
    def _macs(self) -> MACs:
        return MACs(self.coupling, self.conductor.counted)

    @cached_property
    def _dense_macs(self) -> int:
        return self._macs.left()

    def progress(self) -> Progress:
        """Tells where the model stands, with MACs counted from what is pruned now."""
        check_identity(self.framework, self.wrappers)
        p = self.values()
        count = len(self.sets.goal)
        size = np.bincount(self.sets.of_group, minlength=count)
        done = np.bincount(self.sets.of_group[p >= 1], minlength=count)
        wanted = self.sets.goal > 0
        finished = self.missing() == 0
        sealed = np.where(done >= self.sets.goal, size, done)[wanted].sum()
        alive = self.alive()
        macs = self._macs.left(self.coupling.dead(alive), alive)
        return Progress(
            step=int(self.clock()) if self.counts_steps() else 0,
            updates=self.updates,
            pruned=int(done.sum()),
            goal=int(self.sets.goal.sum()),
            decided=1.0 if finished else float(sealed / size[wanted].sum()),
            macs_speedup=self._dense_macs / macs if macs else 1.0,
            finished=finished,
        )

    def finish_if_reached(self) -> bool:
        """Ends pruning if the target speedup is reached before the last layer's goal.

        That happens with columns: which producers they free is not foreseen in the goals. Every
        set ends as if it had met its goal, and no p moves again.
        """
        target, progress = self.conductor.target_speedup, self.progress()
        if progress.finished or target is None or progress.macs_speedup < target:
            return False
        p = self.probabilities()
        self._settle(*self.schedule.settle(p, p < 1))
        self.conductor.finished.assign(1)
        return True
