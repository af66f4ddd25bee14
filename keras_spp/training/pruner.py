"""Moves the pruning probabilities of a model, inside its own training step.

Everything that decides (ranking, probabilities, masks, the end of a layer) is a function of the
model's variables and the optimizer's step counter, computed in the training step itself. So it
is the same in eager and graph mode, compiled by XLA, with several steps per execution, on every
replica and after a restore, and does not depend on the order of callbacks.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_spp.core import pace, probability, scores
from keras_spp.core.cost import MACs
from keras_spp.core.coupling import Coupling
from keras_spp.frameworks.tf_keras import arrays
from keras_spp.frameworks.tf_keras.distribution import require_alike, require_copies
from keras_spp.frameworks.tf_keras.function_layers import is_frozen
from keras_spp.frameworks.tf_keras.graph import find_wrappers
from keras_spp.frameworks.tf_keras.inputs import sizes_that_fit
from keras_spp.frameworks.tf_keras.stages import stage
from keras_spp.frameworks.tf_keras.tracing import find_channels
from keras_spp.frameworks.tf_keras.variables import host
from keras_spp.training.fingerprint import check_identity, give_identity
from keras_spp.training.nan_guard import Faults

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
        """Plain numbers."""
        return asdict(self)


class Pruner:
    """Attaches to a pruned model so that its training steps prune.

    `SPPCallback` does this for `fit`. For a training loop of your own make one before the first
    step; nothing has to be called inside the loop. If the loop applies another optimizer than the
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

    def __init__(self, model: keras.Model, optimizer: Any = None) -> None:
        self.model = model
        self._optimizer = optimizer
        self.wrappers = find_wrappers(model) if getattr(model, "_is_graph_network", False) else []
        conductors = [wrapper for wrapper in self.wrappers if wrapper.conductor]
        if len(conductors) != 1:
            wrapped = stage(model) if getattr(model, "_is_graph_network", False) else None
            if wrapped is not None and not self.wrappers:
                raise ValueError(
                    f"`model` {model.name!r} is not a model that spp.prune returned but one that "
                    f"is {wrapped.state} (layer {wrapped.layer!r}): {wrapped.remedy}."
                )
            raise ValueError(
                f"`model` {model.name!r} is not a model that spp.prune returned (it has "
                f"{len(self.wrappers)} SPP wrappers): call spp.prune(model, ...) first, and do not "
                f"strip it."
            )
        require_copies(model.distribute_strategy)
        self.conductor = conductors[0]
        self.schedule = self.conductor.pruning_schedule
        self.faults = Faults(model, self.conductor.fault)
        give_identity(self.wrappers)
        check_identity(self.wrappers)

        sets: dict[str, dict[str, Any]] = {}
        for wrapper in self.wrappers:
            for entry in wrapper.sets:
                sets.setdefault(entry["name"], entry)
        sizes = [entry["size"] for entry in sets.values()]
        goals = [entry["goal"] for entry in sets.values()]
        self.names = list(sets)
        self.sets = probability.Sets.of(sizes, goals, self.schedule.overshoot)
        start = dict(zip(sets, np.cumsum([0, *sizes[:-1]]).tolist(), strict=True))
        # Where each wrapper's groups stand in the flat vector of all groups.
        self._places = [
            np.concatenate(
                [np.arange(entry["size"]) + start[entry["name"]] for entry in wrapper.sets]
            ).astype(np.int32)
            for wrapper in self.wrappers
        ]
        everywhere = np.concatenate(self._places)
        # For each group one place among all wrappers' groups at which its p can be read.
        self._owner = np.unique(everywhere, return_index=True)[1].astype(np.int32)
        self._weights = [masked.weight for wrapper in self.wrappers for masked in wrapper.masked]
        self._passes = 0  # made eagerly
        self.planned = self.frequency() > 0
        before = self.conductor.pruner
        if before is None or not before.planned:
            # A training step traced before this has failed, and Keras would go on using it.
            model.train_function = None
        if self.counts_steps() or before is None or not before.counts_steps():
            if before is not None and before._find_optimizer() is not self._find_optimizer():
                self.conductor.standstill.forget()
            for wrapper in self.wrappers:  # who only looks does not take over from who trains
                wrapper.pruner = self

    def counts_steps(self) -> bool:
        """Whether there is an optimizer to count training steps with."""
        return self._find_optimizer() is not None

    def _find_optimizer(self) -> Any:
        return self._optimizer or getattr(self.model, "optimizer", None)

    def frequency(self) -> int:
        """The one given, whatever a restored run was given, or the one chosen; 0 if neither."""
        return self.schedule.frequency or int(host(self.conductor.frequency))

    # -- inside the training step ------------------------------------------------------------

    def clock(self) -> tf.Tensor:
        """The training step: how many updates the optimizer has made, scalar int64."""
        optimizer = self._find_optimizer()
        if optimizer is None:
            raise RuntimeError(
                "Pruner has no optimizer to count training steps with: compile the model or give "
                "spp.Pruner(model, optimizer)."
            )
        return tf.cast(tf.convert_to_tensor(optimizer.iterations), tf.int64)

    def move(self) -> None:
        """Moves all probabilities if an update is due; called by the first wrapper."""
        if not self.planned:
            raise RuntimeError(
                "SPPSchedule has no frequency and none was chosen: pass "
                "callbacks=[spp.SPPCallback()] to fit, call Pruner.plan(steps), or give "
                "spp.SPPSchedule(frequency=...)."
            )
        step, seen = self.clock(), self.conductor.pruning_step
        # One update per step even if the step calls the model several times.
        frequency = self.schedule.frequency or self.conductor.frequency
        due = self.schedule.due(step, frequency) & (step != seen)
        due = due & (self.conductor.finished < 1)
        self.conductor.standstill.note(step != seen, self._weights)
        tf.cond(due, self._update, lambda: tf.constant(False))
        seen.assign(step)
        if tf.executing_eagerly():
            self._passes += 1
            if self._passes % TOLD == 0:
                self.tell()

    def _update(self) -> tf.Tensor:
        decay, score = self.schedule.score_decay, scores.get(self.schedule.score)
        totals = tf.zeros([len(self.sets.of_group)])
        found = score.of(arrays, self.wrappers, lambda: self.coupling)
        found = [decay * old.score + new for old, new in zip(self.wrappers, found, strict=True)]
        good = self.faults.note(self.clock(), self.wrappers, found)
        for wrapper, places, share in zip(self.wrappers, self._places, found, strict=True):
            wrapper.score.assign(tf.where(good, share, wrapper.score))
            if score.relative:  # to their mean: a wide layer must not drown a narrow one
                mean = tf.reduce_sum(tf.abs(share)) / tf.maximum(tf.reduce_sum(wrapper.mask), 1.0)
                share = tf.math.divide_no_nan(share, mean)
            totals = tf.tensor_scatter_nd_add(totals, places[:, None], share)
        before = self.probabilities()
        made = self.conductor.updates_made
        p, scale = self.schedule.move(before, totals, self.sets_in_training(), made)
        p, scale = tf.where(good, p, before), tf.where(good, scale, 1.0)
        for wrapper, places in zip(self.wrappers, self._places, strict=True):
            wrapper.multiply(tf.gather(scale, places))
        self.set_probabilities(p)
        self.conductor.updates_made.assign_add(tf.cast(good, tf.int64))
        # No set ever exceeds its goal, so the sum says whether all have met theirs.
        pruned = tf.math.count_nonzero(p >= 1)
        self.conductor.finished.assign(tf.cast(pruned >= int(self.sets.goal.sum()), tf.int64))
        return tf.constant(True)

    def sets_in_training(self) -> probability.Sets:
        """The sets, without a goal where a frozen layer reads them: it is left alone."""
        goal = self.sets.goal.copy()
        for wrapper, places in zip(self.wrappers, self._places, strict=True):
            if is_frozen(wrapper.layer):
                goal[self.sets.of_group[places]] = 0
        return self.sets._replace(goal=goal)

    def probabilities(self) -> tf.Tensor:
        """Pruning probabilities of all groups, shape (groups,), in the order of `names`."""
        return tf.gather(tf.concat([wrapper.p for wrapper in self.wrappers], 0), self._owner)

    def set_probabilities(self, p: tf.Tensor | np.ndarray) -> None:
        """Writes probabilities of all groups, shape (groups,), into every layer that reads them.

        A p of 1 fixes the mask, but weights stay as they are: `_update` scales them.
        """
        p = tf.cast(p, tf.float32)
        for wrapper, places in zip(self.wrappers, self._places, strict=True):
            wrapper.p.assign(tf.gather(p, places))
            wrapper.mask.assign(tf.cast(wrapper.p < 1, tf.float32))

    # -- around it ---------------------------------------------------------------------------

    def tell(self) -> None:
        """Says what has gone wrong inside of training steps, where nothing can be said.

        Raises:
            FloatingPointError: If weights or scores held NaN or infinity when an update was due.

        Warns:
            UserWarning: If steps have changed the weights that the optimizer did not count.
        """
        self.faults.tell()
        if not int(host(self.conductor.finished)):
            driver = self.conductor.pruner or self
            self.conductor.standstill.tell(driver._find_optimizer(), stacklevel=4)

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
        check_identity(self.wrappers)
        if steps is None:  # otherwise the updates that are needed are counted, which tells it too
            self.tell()
        require_alike(self, steps)
        pace.plan(self, steps)

    def updates_needed(self) -> int | None:
        """Simulated number of updates until every goal is met; None if they never would be."""
        if self.missing() == 0:
            return 0
        made = int(host(self.conductor.updates_made))
        return self.schedule.updates_needed(self.probabilities().numpy(), self.sets, made)

    @cached_property
    def coupling(self) -> Coupling:
        """The model's channels."""
        sizes = sizes_that_fit(self.model, self.conductor.input_sizes)
        return find_channels(self.model, sizes=sizes)

    @cached_property
    def _macs(self) -> MACs:
        return MACs(self.coupling, self.conductor.counted)

    @cached_property
    def _dense_macs(self) -> int:
        return self._macs.left()

    def alive(self) -> dict[int, np.ndarray]:
        """Which groups of each masked kernel are not pruned, as `Coupling.dead` takes it."""
        return {
            id(masked.weight): masked.spread(host(wrapper.mask)).numpy() > 0
            for wrapper in self.wrappers
            for masked in wrapper.masked
        }

    def missing(self) -> int:
        """Groups still to be pruned."""
        if int(host(self.conductor.finished)):
            return 0
        self.tell()
        return int(self.sets.goal.sum() - (self.probabilities().numpy() >= 1).sum())

    def progress(self) -> Progress:
        """Where the model stands, with MACs counted from what is pruned now."""
        check_identity(self.wrappers)
        p = self.probabilities().numpy()
        count = len(self.sets.goal)
        size = np.bincount(self.sets.of_group, minlength=count)
        done = np.bincount(self.sets.of_group[p >= 1], minlength=count)
        wanted = self.sets.goal > 0
        finished = self.missing() == 0
        sealed = np.where(done >= self.sets.goal, size, done)[wanted].sum()
        alive = self.alive()
        macs = self._macs.left(self.coupling.dead(alive), alive)
        return Progress(
            step=0 if self._find_optimizer() is None else int(self.clock()),
            updates=int(host(self.conductor.updates_made)),
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
        for wrapper in self.wrappers:
            p = host(wrapper.p)
            if self.schedule.scale_survivors:
                wrapper.multiply(wrapper.expected())
            wrapper.p.assign(np.where(p < 1, 0, p))
        self.conductor.finished.assign(1)
        return True
