"""The mathematics of Structured Probabilistic Pruning: scores to ranks to probabilities.

Pure functions of arrays, of whichever framework `arrays` belongs to. All groups of all layers
stand in one flat vector; `Sets` says which of them are ranked together, so that one update is a
handful of vector operations however many layers there are.

Source: Wang, Zhang, Wang, Hu, "Structured Probabilistic Pruning for Convolutional Neural Network
Acceleration", BMVC 2018, sections 3.1 and 3.2; the overshoot is the authors' code's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType
from typing import NamedTuple

import numpy as np

from keras_spp.core.arrays import Array

EXPLORATION = 3.0  # times 1 / A updates: then no p falls any more, and pruning ends
LIMIT = 1000  # updates after which a simulation gives up
_LARGEST = float(np.finfo(np.float32).max)


class Sets(NamedTuple):
    """Which groups are ranked together and how many of them shall go.

    Attributes:
        of_group: Set of each group, ascending, shape (groups,), int32.
        goal: Groups to prune in each set, shape (sets,), int32.
        aim: Groups to aim for, goal plus overshoot, shape (sets,), int32.
    """

    of_group: np.ndarray
    goal: np.ndarray
    aim: np.ndarray

    @classmethod
    def of(cls, sizes: list[int], goals: list[int], overshoot: float) -> Sets:
        """Makes sets from their sizes and goals; `overshoot` is a share of the set's groups.

        Example:
            >>> Sets.of([4], [2], overshoot=0.1).aim
            array([3], dtype=int32)
        """
        size, goal = np.asarray(sizes, np.int32), np.asarray(goals, np.int32)
        aim = np.minimum(goal + np.ceil(overshoot * size - 1e-6).astype(np.int32), size)
        return cls(np.repeat(np.arange(len(size), dtype=np.int32), size), goal, aim)


def increment(arrays: ModuleType, rank: Array, to_prune: Array, A: float, u: float) -> Array:
    """Says how far a group's pruning probability moves in one update (paper, eq. 2).

    Args:
        arrays: The namespace that computes.
        rank: Rank by importance, 0 for the least important group, any shape.
        to_prune: K, the number of groups still to prune, broadcasts against `rank`, at least 1.
        A: Largest increment, in (0, 1].
        u: Height of the centre of symmetry as a share of A, in (0, 0.5).

    Returns:
        The increments, float32: A at rank 0, u * A at the centre, 0 at rank K, negative beyond.

    Example:
        >>> from keras_spp.core import arrays
        >>> increment(arrays, np.array([0, 8]), 8, A=0.05, u=0.25).round(6)
        array([0.05, 0.  ], dtype=float32)
    """
    rank = arrays.cast(rank, "float32")
    alpha = (math.log(2) - math.log(u)) / arrays.cast(to_prune, "float32")
    centre = -math.log(u) / alpha
    return arrays.where(
        rank <= centre,
        A * arrays.exp(-alpha * rank),
        2 * u * A - A * arrays.exp(-alpha * (2 * centre - rank)),
    )


def rank(arrays: ModuleType, scores: Array, of_group: np.ndarray, pruned: Array) -> Array:
    """Orders all groups, set by set, the least important first and pruned ones last.

    Ties keep the order of the groups, so that every device ranks alike.

    Args:
        arrays: The namespace that computes.
        scores: Importance, shape (groups,), float32.
        of_group: Set of each group, ascending, shape (groups,), int.
        pruned: Groups that are not ranked any more, shape (groups,), bool.

    Returns:
        Permutation of shape (groups,), int32: position i holds the group that stands there.
    """
    scores = arrays.where(pruned, _LARGEST, scores)
    by_score = arrays.argsort(scores)
    return arrays.take(by_score, arrays.argsort(arrays.take(of_group, by_score)))


def explores(arrays: ModuleType, made: Array, A: float) -> Array:
    """Says whether probabilities may still fall after so many updates, scalar bool.

    Groups whose scores fluctuate overtake each other for ever; from `EXPLORATION` / A updates on
    none falls for that.
    """
    return arrays.cast(made, "float32") * A < EXPLORATION


def update(
    arrays: ModuleType,
    p: Array,
    scores: Array,
    sets: Sets,
    increment: Callable[[Array, Array], Array],
    may_fall: Array,
) -> tuple[Array, Array]:
    """Makes one update of all pruning probabilities (paper, section 3.2).

    As in the paper only as many groups rise as are still to be pruned. How fast they do is decided
    by a few more (`Sets.aim`), so that the last of them do not slow down before they are pruned.

    Args:
        arrays: The namespace that computes.
        p: Pruning probabilities, shape (groups,), float32; 1 means pruned for good.
        scores: Importance of each group, shape (groups,), float32.
        sets: Which groups are ranked together, and their goals.
        increment: How far p moves: a function of rank and K, as in `increment`.
        may_fall: Whether probabilities may fall too, scalar bool.

    Returns:
        (p, ended), each of shape (groups,). `ended` is True for the survivors of a set that has
        just met its goal: what becomes of them `settle` says.
    """
    count = len(sets.goal)
    of_group = sets.of_group  # ascending, so it holds in the order of ranks too
    goal, aim = arrays.cast(sets.goal, "int32"), arrays.cast(sets.aim, "int32")
    pruned = p >= 1
    done = arrays.segment_sum(arrays.cast(pruned, "int32"), of_group, count)
    left = arrays.maximum(goal - done, 0)
    order = rank(arrays, scores, of_group, pruned)
    place = arrays.cast(_place(sets), "int32")

    to_prune = arrays.take(arrays.maximum(aim - done, 1), of_group)
    delta = increment(arrays.cast(place, "float32"), to_prune)
    # Were more to rise, fewer groups than shall stay would take part before the end.
    delta = arrays.where(place < arrays.take(left, of_group), delta, arrays.minimum(delta, 0.0))
    delta = arrays.where(may_fall, delta, arrays.maximum(delta, 0.0))
    active = arrays.take(left > 0, of_group) & ~arrays.take(pruned, order)
    before = arrays.take(p, order)
    after = arrays.where(active, arrays.clip(before + delta, 0, 1), before)
    p = arrays.scatter(order, after, len(of_group))

    pruned = p >= 1
    done_now = arrays.segment_sum(arrays.cast(pruned, "int32"), of_group, count)
    return p, arrays.take((left > 0) & (done_now >= goal), of_group) & ~pruned


def settle(
    arrays: ModuleType, p: Array, ended: Array, scale_survivors: bool
) -> tuple[Array, Array]:
    """Says what becomes of groups: those with p = 1 are zero, survivors of a set that ends stay.

    Args:
        arrays: The namespace that computes.
        p: Pruning probabilities, shape (groups,), float32.
        ended: Groups that survive and whose p moves no more, shape (groups,), bool.
        scale_survivors: Whether these are multiplied by their keep probability, as in the paper.

    Returns:
        (p, scale), each of shape (groups,). `scale` is what the weights are to be multiplied
        with: 0 for groups pruned now or before, 1 - p for the ones that have ended if survivors
        are scaled, otherwise 1. The p of those that have ended becomes 0.
    """
    survivors = arrays.where(ended, 1 - p, 1.0) if scale_survivors else 1.0
    return arrays.where(ended, 0.0, p), arrays.where(p >= 1, 0.0, survivors)


def lowest(arrays: ModuleType, scores: Array, sets: Sets, pruned: Array, due: Array) -> Array:
    """Picks what is pruned when of each set so many groups are to be: the least important.

    Args:
        arrays: The namespace that computes.
        scores: Importance, shape (groups,), float32.
        sets: Which groups are ranked together.
        pruned: Groups that are pruned already and stay so, shape (groups,), bool.
        due: Groups that each set is to have pruned, shape (sets,), int32.

    Returns:
        Booleans of shape (groups,).
    """
    done = arrays.segment_sum(arrays.cast(pruned, "int32"), sets.of_group, len(sets.goal))
    order = rank(arrays, scores, sets.of_group, pruned)
    place = arrays.cast(_place(sets), "int32")
    chosen = place < arrays.take(arrays.maximum(due - done, 0), sets.of_group)
    return pruned | arrays.scatter(order, chosen, len(sets.of_group))


def _place(sets: Sets) -> np.ndarray:
    """Gives for each position in the order of `rank` the rank within its set."""
    starts = np.cumsum([0, *np.bincount(sets.of_group, minlength=len(sets.goal))[:-1]])
    return (np.arange(len(sets.of_group)) - starts[sets.of_group]).astype(np.int32)


def updates_needed(
    p: np.ndarray,
    sets: Sets,
    move: Callable[[np.ndarray, np.ndarray, int], np.ndarray],
    made: int = 0,
    noise: float = 0.05,
    limit: int = LIMIT,
) -> int | None:
    """Simulates how many updates it takes until every set meets its goal.

    What has risen so far is taken to be the least important of its set.

    Args:
        p: Probabilities to start from, shape (groups,).
        sets: The sets with their goals.
        move: Makes one update: new probabilities from (p, scores, updates made before).
        made: Updates made before.
        noise: Standard deviation added to scores uniform in [0, 1] at each ranking: scores of
            a network in training fluctuate, and groups then overtake each other.
        limit: Updates after which to give up.

    Returns:
        The number of further updates, 0 if all goals are met, or None if `limit` is not enough.

    Example:
        >>> def move(p, scores, made):
        ...     return p + np.float32(0.5) * (np.arange(4) < 2)
        >>> updates_needed(np.zeros(4), Sets.of([4], [2], 0.1), move)
        2
    """
    random = np.random.default_rng(0)
    drawn = random.uniform(size=len(p))
    base = np.empty_like(drawn)
    base[np.lexsort((drawn, -np.asarray(p), sets.of_group))] = drawn[
        np.lexsort((drawn, sets.of_group))
    ]
    goal = int(sets.goal.sum())
    p = np.asarray(p, np.float32)
    for more in range(limit + 1):
        if int((p >= 1).sum()) >= goal:
            return more
        scores = (base + random.normal(scale=noise, size=len(p))).astype(np.float32)
        p = np.asarray(move(p, scores, made + more), np.float32)
    return None
