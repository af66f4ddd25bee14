"""When groups are pruned, and how: SPP, and what to compare it with.

A framework's adapter tells `Schedule.saved_by` how configs name classes and functions, and
registers the classes where that framework looks for them.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import numpy as np

from keras_spp.core import probability, scores
from keras_spp.core.arrays import Array
from keras_spp.core.namespace import namespace_of
from keras_spp.core.probability import Sets
from keras_spp.util.checks import check_integer, check_number

TINY = 1e-9


class Saving(Protocol):
    """How a framework names classes and functions in the configs of what it saves."""

    def get_registered_name(self, obj: Any) -> str:
        """Gives the name under which a class was registered, or else its own."""

    def deserialize_keras_object(self, config: Any) -> Any:
        """Finds the function that a config names."""


class Schedule:
    """When groups are pruned, and how: what `SPPSchedule` and its alternatives have in common.

    Its methods take arrays of any framework. It is a `PruningSchedule` for tfmot.

    Args:
        frequency: Training steps between updates, at least 1, or None.
        begin_step: Training step (updates of the optimizer) before which nothing is pruned.
        score: How important a group is: "l1", "l2", "taylor", "reconstruction", "bn_scale" or
            a function of a weight, see `keras_spp.core.scores`.
        score_decay: d in ``score <- d * score + new score``, in [0, 1).
    """

    advice: str  # what brings the target nearer, for messages
    overshoot = 0.0
    scale_survivors = False
    evaluation = "expected"
    _savings: ClassVar[list[Saving]] = []

    def __init__(
        self,
        frequency: int | None = None,
        begin_step: int = 0,
        score: Any = "l1",
        score_decay: float = 0.0,
    ) -> None:
        if frequency is not None:
            check_integer("frequency", frequency, 1, "None or ")
        check_integer("begin_step", begin_step, 0)
        check_number("score_decay", score_decay, 0, 1 - TINY, "a number in [0, 1)")
        self.frequency = None if frequency is None else int(frequency)
        self.begin_step = int(begin_step)
        self.score = score
        if isinstance(score, Mapping):  # a registered function, from a saved model
            self.score = self._found(score)
        scores.get(self.score)
        self.score_decay = float(score_decay)

    @staticmethod
    def saved_by(saving: Saving) -> None:
        """Tells all schedules how a framework names classes and functions in configs."""
        Schedule._savings.append(saving)

    def _found(self, config: Any) -> Any:
        """Finds the function that a config names, in the framework that knows it."""
        problem: Exception = ValueError(f"`score` is {config!r}, for which no framework is there.")
        for saving in self._savings:
            try:
                return saving.deserialize_keras_object(config)
            except (ValueError, TypeError) as error:
                problem = error
        raise problem

    def due(self, step: Array, frequency: Array | int) -> Array:
        """Says whether there is an update at a step (scalar bool); never before any training."""
        arrays = namespace_of(step, frequency)
        since = arrays.cast(step, "int64") - self.begin_step
        return (since > 0) & (since % arrays.cast(frequency, "int64") == 0)

    def updates_in(self, steps: int, frequency: int) -> int:
        """Counts the updates that happen before `steps` training steps have been made."""
        return max(0, (steps - 1 - self.begin_step) // frequency)

    def draw(self, p: Array, seed: int, step: Array) -> Array:
        """Draws the masks of a step, the same wherever that is computed.

        Args:
            p: Pruning probabilities, any shape, float32.
            seed: That of the groups' set.
            step: Training step, scalar integer.

        Returns:
            Booleans of p's shape: True where a group takes part in this step.
        """
        return namespace_of(p, step).draw(p, seed, step)

    def move(self, p: Array, scores: Array, sets: Sets, made: Array) -> tuple[Array, Array]:
        """Makes one update: new pruning probabilities and factors for the weights.

        Args:
            p: Pruning probabilities, shape (groups,), float32.
            scores: Importance of the groups, shape (groups,), float32.
            sets: Which groups are ranked together, and their goals.
            made: Updates made before, scalar integer.
        """
        raise NotImplementedError

    def updates_needed(self, p: np.ndarray, sets: Sets, made: int) -> int | None:
        """Says how many more updates it takes to the goals, not all met; None: unknown.

        Args:
            p: Pruning probabilities, shape (groups,).
            sets: Which groups are ranked together, and their goals.
            made: Updates made before.
        """
        raise NotImplementedError

    def share(self, updates: Array) -> Array:
        """Says what share of a layer can be pruned after so many updates at most, in [0, 1]."""
        raise NotImplementedError

    def settle(self, p: Array, ended: Array) -> tuple[Array, Array]:
        """Says what becomes of groups whose sets have ended: (p, factors for the weights).

        Args:
            p: Pruning probabilities, shape (groups,), float32.
            ended: Groups that survive and whose p moves no more, shape (groups,), bool.
        """
        return probability.settle(namespace_of(p, ended), p, ended, self.scale_survivors)

    def __call__(self, step: Array) -> tuple[Array, Array]:
        """Follows tfmot's protocol: (whether to update now, the sparsity to expect at most).

        A schedule does not know a layer's target ratio, so this is a share of the target.
        """
        arrays, frequency = namespace_of(step), self.frequency or 180
        updates = arrays.maximum(arrays.cast(step, "int64") - self.begin_step, 0) // frequency
        return self.due(step, frequency), self.share(arrays.cast(updates, "float32"))

    def get_config(self) -> dict[str, Any]:
        """Serialises under the registered name: otherwise tfmot gets it back as a str."""
        names = list(inspect.signature(type(self)).parameters)
        known = [saving.get_registered_name(type(self)) for saving in self._savings]
        own = type(self).__name__  # what a framework says with which it is not registered
        return {
            "class_name": next((name for name in known if name != own), own),
            "config": {name: getattr(self, name) for name in names},
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Schedule:
        """Makes a schedule of what `get_config` holds as its config."""
        return cls(**config)


class SPPSchedule(Schedule):
    """The schedule of Structured Probabilistic Pruning (Wang et al., BMVC 2018, section 3.2).

    Every `frequency` training steps the groups of each layer are ranked and their pruning
    probabilities move, up by at most `A` for the least important group. After 3 / A updates none
    falls any more, so that pruning ends however scores fluctuate.

    Args:
        A: Largest increment of a pruning probability in one update, in (0, 1]. No group can be
            pruned in fewer than 1 / A updates.
        u: Height of the centre of symmetry of the increment as a share of A, in (0, 0.5).
        frequency: Training steps between updates, at least 1. None: chosen by `SPPCallback`
            from the steps that `fit` will run, so that pruning takes a tenth of them. The paper
            uses 180, for ImageNet-length training.
        begin_step: Training step (updates of the optimizer) before which nothing is pruned.
        overshoot: The increments aim at this share of groups more than the target, in [0, 1]
            (the authors' code aims "a little higher" too), or the last groups would rise slowly.
            It is for the pace alone: no more groups rise than the target asks for.
        score: How important a group is: "l1" (the paper's), "l2", "taylor",
            "reconstruction", "bn_scale" or a function of a weight, see `keras_spp.core.scores`.
        score_decay: d in ``score <- d * score + new score``, in [0, 1); 0 is the authors' default.
        evaluation: What `evaluate` and `predict` use while pruning goes on: "expected" weights,
            (1 - p) * W, or weights "sampled" with the masks of the next training step, as the
            authors do. Both are the same at the end; a loaded model that does not train on uses
            expected weights.
        scale_survivors: Whether groups that stay are multiplied by their keep probability, 1 - p,
            when their set has met its goal, as in the paper. By default they get their whole
            weights back: where scores fluctuate some are close to p = 1 by then, and would be all
            but pruned beyond the target (docs/measured/schedule.md).

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> schedule = SPPSchedule(A=0.1, frequency=10)
        >>> [bool(schedule(step)[0]) for step in (0, 10, 15)]
        [False, True, False]
    """

    advice = "raise A"

    def __init__(
        self,
        A: float = 0.05,
        u: float = 0.25,
        frequency: int | None = None,
        begin_step: int = 0,
        overshoot: float = 0.1,
        score: Any = "l1",
        score_decay: float = 0.0,
        evaluation: str = "expected",
        scale_survivors: bool = False,
    ) -> None:
        super().__init__(frequency, begin_step, score, score_decay)
        if evaluation not in ("expected", "sampled"):
            raise ValueError(f'`evaluation` must be "expected" or "sampled" but is {evaluation!r}.')
        if not isinstance(scale_survivors, (bool, np.bool_)):
            raise ValueError(f"`scale_survivors` must be True or False but is {scale_survivors!r}.")
        self.evaluation = evaluation
        self.scale_survivors = bool(scale_survivors)
        check_number("A", A, TINY, 1, "a number in (0, 1]")
        check_number("u", u, TINY, 0.5 - TINY, "a number in (0, 0.5)")
        check_number("overshoot", overshoot, 0, 1, "a number in [0, 1]")
        self.A = float(A)
        self.u = float(u)
        self.overshoot = float(overshoot)

    def increment(self, rank: Array, to_prune: Array) -> Array:
        """Says how far p moves by a group's rank: `keras_spp.core.probability.increment`.

        Args:
            rank: Ranks by importance, 0 for the least important group, shape (groups,), float32.
            to_prune: How many groups of each one's set are still to be pruned, shape (groups,).
        """
        arrays = namespace_of(rank, to_prune)
        return probability.increment(arrays, rank, to_prune, self.A, self.u)

    def move(self, p: Array, scores: Array, sets: Sets, made: Array) -> tuple[Array, Array]:
        """Moves probabilities by increments that depend on the rank, wherever they stand."""
        arrays = namespace_of(p, scores, made)
        may_fall = probability.explores(arrays, made, self.A)
        return self.settle(*probability.update(arrays, p, scores, sets, self.increment, may_fall))

    def updates_needed(self, p: np.ndarray, sets: Sets, made: int) -> int | None:
        """Simulates updates with scores that fluctuate."""

        def move(p: np.ndarray, scores: np.ndarray, made: int) -> np.ndarray:
            return SPPSchedule.move(self, p, scores, sets, made)[0]

        return probability.updates_needed(p, sets, move, made)

    def share(self, updates: Array) -> Array:
        """Gives the probability that the least important group has reached by then."""
        return namespace_of(updates).minimum(1.0, self.A * updates)


class GradualSchedule(Schedule):
    """Structured magnitude pruning step by step, to compare with: no probabilities.

    At update t of n the least important groups are pruned for good until a share
    ``1 - (1 - t / n) ** power`` of each layer's goal is met (Zhu and Gupta, "To prune, or not to
    prune", 2017, section 3). Groups, scores, allocation and `spp.shrink` are those of SPP.

    Args:
        updates: n, at least 1.
        power: Exponent, greater than 0; 3 in the source.
        frequency: Training steps between updates. None: chosen by `SPPCallback` so that pruning
            takes a tenth of the steps.
        begin_step: Training step before which nothing is pruned.
        score: As for `SPPSchedule`.
        score_decay: As for `SPPSchedule`.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> import keras_spp as spp, tf_keras as keras
        >>> model = keras.Sequential([
        ...     keras.Input((4,)), keras.layers.Dense(32), keras.layers.Dense(2)])
        >>> pruned = spp.prune(model, pruning_ratio=0.5, schedule=GradualSchedule(updates=10))
    """

    advice = "plan fewer updates"

    def __init__(
        self,
        updates: int = 30,
        power: float = 3.0,
        frequency: int | None = None,
        begin_step: int = 0,
        score: Any = "l1",
        score_decay: float = 0.0,
    ) -> None:
        super().__init__(frequency, begin_step, score, score_decay)
        check_integer("updates", updates, 1)
        check_number("power", power, TINY, 1e9, "a number greater than 0")
        self.updates = int(updates)
        self.power = float(power)

    def move(self, p: Array, scores: Array, sets: Sets, made: Array) -> tuple[Array, Array]:
        """Prunes as many as are due; nobody else's p changes."""
        arrays = namespace_of(p, scores, made)
        share = self.share(arrays.cast(made, "float32") + 1)
        due = arrays.ceil(share * arrays.cast(sets.goal, "float32") - 1e-4)
        pruned = probability.lowest(arrays, scores, sets, p >= 1, arrays.cast(due, "int32"))
        return arrays.cast(pruned, "float32"), arrays.cast(~pruned, "float32")

    def updates_needed(self, p: np.ndarray, sets: Sets, made: int) -> int | None:
        """Counts what is planned and not made yet; one more for layers that were frozen then."""
        return max(self.updates - made, 1)

    def share(self, updates: Array) -> Array:
        """Follows the polynomial."""
        done = namespace_of(updates).minimum(1.0, updates / self.updates)
        return 1 - (1 - done) ** self.power


class OneShotSchedule(GradualSchedule):
    """Prunes everything at once, at the first training step after `begin_step`: to compare with.

    With the default score this is filter pruning by L1 norm (Li et al., "Pruning filters for
    efficient ConvNets", 2016), except that a channel is scored by the weights that read it.

    Args:
        begin_step: Training step before which nothing is pruned.
        score: As for `SPPSchedule`; "taylor" gathers it until `begin_step`.

    Example:
        >>> OneShotSchedule(begin_step=10).updates
        1
    """

    def __init__(self, begin_step: int = 0, score: Any = "l1") -> None:
        super().__init__(updates=1, frequency=1, begin_step=begin_step, score=score)
