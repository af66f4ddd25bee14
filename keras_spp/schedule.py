"""When the pruning probabilities move, and by how much."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras as keras


def _check(name: str, value: Any, kind: Any, low: float, high: float, what: str) -> None:
    if not isinstance(value, kind) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"`{name}` must be {what} but is {value!r}.")


@keras.saving.register_keras_serializable(package="keras_spp")
class SPPSchedule(tfmot.sparsity.keras.PruningSchedule):
    """The schedule of Structured Probabilistic Pruning (Wang et al., BMVC 2018, section 3.2).

    Every `frequency` training steps the groups of each layer are ranked and their pruning
    probabilities move, up by at most `A` for the least important group.

    Args:
        A: Largest increment of a pruning probability in one update, in (0, 1]. No group can be
            pruned in fewer than 1 / A updates.
        u: Height of the centre of symmetry of the increment as a share of A, in (0, 0.5).
        frequency: Training steps between updates, at least 1. None: chosen by `SPPCallback`
            from the steps that `fit` will run, so that pruning takes the first half. The paper
            uses 180, for ImageNet-length training.
        begin_step: Training step (updates of the optimizer) before which nothing is pruned.
        overshoot: The increments aim at this share of groups more than the target, in [0, 1];
            pruning stops at the target. Without it groups near the target overtake each other
            for ever (the authors' code aims "a little higher" too).
        score_decay: d in ``score <- d * score + L1``, in [0, 1); 0 is the authors' default.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> schedule = SPPSchedule(A=0.1, frequency=10)
        >>> [bool(schedule(step)[0]) for step in (0, 10, 15)]
        [False, True, False]
    """

    def __init__(
        self,
        A: float = 0.05,
        u: float = 0.25,
        frequency: int | None = None,
        begin_step: int = 0,
        overshoot: float = 0.1,
        score_decay: float = 0.0,
    ) -> None:
        tiny, below_one = 1e-9, 1 - 1e-9
        _check("A", A, Real, tiny, 1, "a number in (0, 1]")
        _check("u", u, Real, tiny, 0.5 - tiny, "a number in (0, 0.5)")
        if frequency is not None:
            _check("frequency", frequency, Integral, 1, 2**62, "None or an integer of at least 1")
        _check("begin_step", begin_step, Integral, 0, 2**62, "an integer of at least 0")
        _check("overshoot", overshoot, Real, 0, 1, "a number in [0, 1]")
        _check("score_decay", score_decay, Real, 0, below_one, "a number in [0, 1)")
        self.A = float(A)
        self.u = float(u)
        self.frequency = None if frequency is None else int(frequency)
        self.begin_step = int(begin_step)
        self.overshoot = float(overshoot)
        self.score_decay = float(score_decay)

    def due(self, step: tf.Tensor, frequency: tf.Tensor | int) -> tf.Tensor:
        """Whether the probabilities move at a step (scalar bool); never before any training."""
        since = tf.cast(step, tf.int64) - self.begin_step
        return (since > 0) & (since % tf.cast(frequency, tf.int64) == 0)

    def updates_in(self, steps: int, frequency: int) -> int:
        """Number of updates that happen before `steps` training steps have been made."""
        return max(0, (steps - 1 - self.begin_step) // frequency)

    def __call__(self, step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Tfmot's protocol: (whether to update now, the sparsity to expect).

        A schedule does not know a layer's target ratio; the second value is the probability
        that the least important group has reached by then, ``min(1, A * updates)``.
        """
        frequency = self.frequency or 180
        updates = tf.maximum(tf.cast(step, tf.int64) - self.begin_step, 0) // frequency
        return self.due(step, frequency), tf.minimum(1.0, self.A * tf.cast(updates, tf.float32))

    def get_config(self) -> dict[str, Any]:
        """Serialised under the registered name: otherwise tfmot gets it back as a str."""
        names = ("A", "u", "frequency", "begin_step", "overshoot", "score_decay")
        return {
            "class_name": "keras_spp>SPPSchedule",
            "config": {name: getattr(self, name) for name in names},
        }
