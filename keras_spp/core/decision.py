"""One update of a whole model: state in, new state out, without anything around it.

Ranking, probabilities, the end of a layer: all is decided here, from arrays of whichever
framework, so that a training step can hold it and NumPy can foretell it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from keras_spp.core import scores
from keras_spp.core.arrays import Array
from keras_spp.core.probability import Sets
from keras_spp.core.schedule import Schedule


@dataclass(frozen=True, eq=False)
class FlatGroups:
    """All groups of a model in one flat vector, set by set.

    Attributes:
        names: Names of the sets.
        sets: The sets, with their goals.
        places: For each layer that reads groups where these stand in the vector, int32.
    """

    names: list[str]
    sets: Sets
    places: list[np.ndarray]

    @classmethod
    def of(cls, readers: Sequence[Sequence[Mapping[str, Any]]], overshoot: float) -> FlatGroups:
        """Lays out the sets that layers read.

        Args:
            readers: For each layer its sets, in the order of its groups: name, size and goal.
            overshoot: As for `Sets.of`.

        Example:
            >>> stem, block = ({"name": n, "size": s, "goal": 1} for n, s in (("s", 2), ("b", 3)))
            >>> groups = FlatGroups.of([[stem], [block, stem]], 0.0)
            >>> [places.tolist() for places in groups.places]
            [[0, 1], [2, 3, 4, 0, 1]]
        """
        sets: dict[str, Mapping[str, Any]] = {}
        for entries in readers:
            for entry in entries:
                sets.setdefault(entry["name"], entry)
        sizes = [entry["size"] for entry in sets.values()]
        goals = [entry["goal"] for entry in sets.values()]
        start = dict(zip(sets, np.cumsum([0, *sizes[:-1]]).tolist(), strict=True))
        places = [
            np.concatenate([np.arange(entry["size"]) + start[entry["name"]] for entry in entries])
            for entries in readers
        ]
        flat = Sets.of(sizes, goals, overshoot)
        return cls(list(sets), flat, [indices.astype(np.int32) for indices in places])

    def join(self, arrays: ModuleType, parts: Sequence[Array]) -> Array:
        """Reads what all layers that read a group hold alike, shape (groups,)."""
        return arrays.take(arrays.concatenate(parts), self._first)

    @cached_property
    def _first(self) -> np.ndarray:
        """Where the first layer that reads each group has it, in the values of all layers."""
        return np.unique(np.concatenate(self.places), return_index=True)[1].astype(np.int32)

    def split(self, arrays: ModuleType, values: Array) -> list[Array]:
        """Gives each layer the values of its groups."""
        return [arrays.take(values, places) for places in self.places]

    def without(self, readers: Sequence[int]) -> Sets:
        """Returns the sets, without a goal where one of these layers reads them."""
        goal = self.sets.goal.copy()
        for reader in readers:
            goal[self.sets.of_group[self.places[reader]]] = 0
        return self.sets._replace(goal=goal)


class State(NamedTuple):
    """What an update changes.

    Attributes:
        p: Pruning probabilities, shape (groups,), float32.
        scores: For each layer the scores of its groups, float32.
        made: Updates made, scalar int64.
        finished: Whether all goals are met, scalar int64, 0 or 1.
    """

    p: Array
    scores: list[Array]
    made: Array
    finished: Array


def accumulated(schedule: Schedule, before: Sequence[Array], new: Sequence[Array]) -> list[Array]:
    """Adds new scores to what is left of those before, layer by layer."""
    pairs = zip(before, new, strict=True)
    return [schedule.score_decay * old + now for old, now in pairs]


def decide(
    arrays: ModuleType,
    schedule: Schedule,
    groups: FlatGroups,
    sets: Sets,
    state: State,
    scored: Sequence[Array],
    sound: Array,
) -> tuple[State, Array]:
    """Makes one update.

    Args:
        arrays: The namespace that computes.
        schedule: Says how probabilities move.
        groups: All groups of the model.
        sets: Its sets with the goals of now, see `FlatGroups.without`.
        state: The state before.
        scored: For each layer the accumulated scores of its groups.
        sound: Whether all numbers are finite; if not, nothing changes. Scalar bool.

    Returns:
        (state, scale): the new state and what the groups' weights are to be multiplied with,
        shape (groups,).
    """
    relative = scores.get(schedule.score).relative
    totals = arrays.zeros([len(sets.of_group)])
    parts = groups.split(arrays, state.p)
    for p, places, share in zip(parts, groups.places, scored, strict=True):
        if relative:  # to their mean: a wide layer must not drown a narrow one
            left = arrays.sum(arrays.cast(p < 1, "float32"))
            mean = arrays.sum(arrays.abs(share)) / arrays.maximum(left, 1.0)
            share = arrays.divide_no_nan(share, mean)
        totals = arrays.scatter_add(totals, places, share)
    p, scale = schedule.move(state.p, totals, sets, state.made)
    p, scale = arrays.where(sound, p, state.p), arrays.where(sound, scale, 1.0)
    # No set ever exceeds its goal, so the sum says whether all have met theirs.
    pruned = arrays.sum(arrays.cast(p >= 1, "int64"))
    kept = [arrays.where(sound, now, old) for now, old in zip(scored, state.scores, strict=True)]
    made = state.made + arrays.cast(sound, "int64")
    finished = arrays.cast(pruned >= int(groups.sets.goal.sum()), "int64")
    return State(p, kept, made, finished), scale
