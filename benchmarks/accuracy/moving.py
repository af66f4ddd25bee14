"""SPP whose shares of the layers move in training: all groups of a network are ranked together."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

import keras_spp as spp
from benchmarks.accuracy.rewrapped import Config, rewrapped
from keras_spp.core import arrays
from keras_spp.core.arrays import Array
from keras_spp.core.cost import MACs
from keras_spp.core.probability import Sets
from keras_spp.training.state import State

Moved = tuple[tf.Tensor, tf.Tensor]


@keras.saving.register_keras_serializable(package="benchmarks")
class Moving(spp.SPPSchedule):
    """Groups go in the order of their score for each MAC that goes with them, of all layers.

    They go until the network has the target speedup. One group of each set stays whatever its
    score is.

    Args:
        prices: The MACs that go with a group of each set; None: `rank_together` says them.
        planned: How many groups the plan had that was made before training: they set the pace.
        **arguments: Those of `SPPSchedule`. The scores must be comparable: "taylor".
    """

    def __init__(self, prices: list[int] | None = None, planned: int = 1, **arguments: Any) -> None:
        super().__init__(**{"score": "taylor", "score_decay": 0.9, **arguments})
        self.prices, self.planned = prices, planned

    def get_config(self) -> Config:
        """Adds the arguments of SPPSchedule, which `arguments` does not name."""
        names = ["prices", "planned", *inspect.signature(spp.SPPSchedule).parameters]
        config = {name: getattr(self, name) for name in names}
        return {"class_name": keras.saving.get_registered_name(type(self)), "config": config}

    def increment(self, rank: Array, to_prune: Array) -> Array:
        """Moves at the pace of the plan, which ends later or earlier than the target is reached."""
        left = tf.cast(to_prune, tf.int32) - self.planned
        return super().increment(rank, tf.maximum(left, self.planned // 4 + 1))

    def move(self, p: tf.Tensor, scores: tf.Tensor, sets: Sets, made: tf.Tensor) -> Moved:
        """Ranks all groups as one set."""
        of_group = tf.constant(sets.of_group)
        best = tf.math.unsorted_segment_max(scores, of_group, len(sets.goal))
        price = tf.gather(tf.constant(self.prices, tf.float32), of_group)
        last = scores >= tf.gather(best, of_group)
        scores = tf.where(last, tf.float32.max, scores / price)
        goal = np.minimum([2 * self.planned], len(sets.of_group)).astype(np.int32)
        return super().move(p, scores, Sets(np.zeros_like(sets.of_group), goal, goal), made)


def rank_together(pruned: keras.Model) -> keras.Model:
    """Makes a pruned model, not trained yet, whose schedule knows the prices.

    Every set may lose all groups but one, and the target is what the plan would have left.
    """
    state = State(pruned)
    goals, planned = state.sets.goal, int(state.sets.goal.sum())
    dense, *lefts = [macs_left(state, which) for which in (0 * goals, goals, *np.eye(len(goals)))]
    found = {"prices": [dense - left for left in lefts[1:]], "planned": planned}

    def changed(config: Config) -> Config:
        schedule = config["pruning_schedule"]
        return config | {
            "pruning_schedule": schedule | {"config": schedule["config"] | found},
            "sets": [entry | {"goal": entry["size"] - 1} for entry in config["sets"]],
            "target_speedup": dense / lefts[0] if config["conductor"] else None,
        }

    return rewrapped(pruned, changed=changed)


def macs_left(state: State, pruned: np.ndarray) -> int:
    """Counts what is left when so many groups of each set are gone."""
    of_group = state.sets.of_group
    place = np.arange(len(of_group)) - np.searchsorted(of_group, of_group)
    parts = state.groups.split(arrays, (place >= pruned[of_group]).astype(np.float32))
    alive = {
        id(masked.weight): masked.layout.spread(arrays, part) > 0
        for wrapper, part in zip(state.wrappers, parts, strict=True)
        for masked in wrapper.masked
    }
    return MACs(state.coupling, state.conductor.counted).left(state.coupling.dead(alive), alive)
