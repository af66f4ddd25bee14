"""The mathematics of Structured Probabilistic Pruning: scores to ranks to probabilities to masks.

Pure tensor functions without a Keras object. All groups of all layers stand in one flat vector;
`Sets` says which of them are ranked together, so that one update is a handful of vector
operations however many layers there are.

Source: Wang, Zhang, Wang, Hu, "Structured Probabilistic Pruning for Convolutional Neural Network
Acceleration", BMVC 2018, sections 3.1 and 3.2; the overshoot is the authors' code's.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

EXPLORATION = 3.0  # times 1 / A updates: then no p falls any more, and pruning ends
LIMIT = 1000  # updates after which a simulation gives up


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
        """Sets from their sizes and goals; `overshoot` is a share of the set's groups.

        Example:
            >>> Sets.of([4], [2], overshoot=0.1).aim
            array([3], dtype=int32)
        """
        size, goal = np.asarray(sizes, np.int32), np.asarray(goals, np.int32)
        aim = np.minimum(goal + np.ceil(overshoot * size - 1e-6).astype(np.int32), size)
        return cls(np.repeat(np.arange(len(size), dtype=np.int32), size), goal, aim)


def increment(rank: tf.Tensor, to_prune: tf.Tensor, A: float, u: float) -> tf.Tensor:
    """How far a group's pruning probability moves in one update (paper, eq. 2).

    Args:
        rank: Rank by importance, 0 for the least important group, any shape, float.
        to_prune: K, the number of groups still to prune, broadcasts against `rank`, at least 1.
        A: Largest increment, in (0, 1].
        u: Height of the centre of symmetry as a share of A, in (0, 0.5).

    Returns:
        The increments: A at rank 0, u * A at the centre, 0 at rank K, negative beyond.

    Example:
        >>> increment(tf.constant([0.0, 8.0]), 8.0, A=0.05, u=0.25).numpy().round(6)
        array([0.05, 0.  ], dtype=float32)
    """
    rank = tf.convert_to_tensor(rank, tf.float32)
    alpha = (math.log(2) - math.log(u)) / tf.cast(to_prune, tf.float32)
    centre = -math.log(u) / alpha
    return tf.where(
        rank <= centre,
        A * tf.exp(-alpha * rank),
        2 * u * A - A * tf.exp(-alpha * (2 * centre - rank)),
    )


def rank(scores: tf.Tensor, of_group: tf.Tensor, pruned: tf.Tensor) -> tf.Tensor:
    """Order of all groups, set by set, the least important first and pruned ones last.

    Ties keep the order of the groups, so that every device ranks alike.

    Args:
        scores: Importance, shape (groups,), float32.
        of_group: Set of each group, ascending, shape (groups,), int.
        pruned: Groups that are not ranked any more, shape (groups,), bool.

    Returns:
        Permutation of shape (groups,), int32: position i holds the group that stands there.
    """
    scores = tf.where(pruned, tf.float32.max, scores)
    by_score = tf.argsort(scores, stable=True)
    return tf.gather(by_score, tf.argsort(tf.gather(of_group, by_score), stable=True))


def update(
    p: tf.Tensor, scores: tf.Tensor, sets: Sets, A: float, u: float, made: tf.Tensor | int
) -> tuple[tf.Tensor, tf.Tensor]:
    """One update of all pruning probabilities (paper, section 3.2).

    As in the paper only as many groups rise as are still to be pruned. How fast they do is decided
    by a few more (`Sets.aim`), so that the last of them do not slow down before they are pruned.

    Args:
        p: Pruning probabilities, shape (groups,), float32; 1 means pruned for good.
        scores: Importance of each group, shape (groups,), float32.
        sets: Which groups are ranked together, and their goals.
        A: Largest increment.
        u: Height of the centre of symmetry as a share of A.
        made: Updates made before, scalar. Groups whose scores fluctuate overtake each other for
            ever; from `EXPLORATION` / A updates on none falls for that.

    Returns:
        (p, scale), each of shape (groups,). `scale` is what the weights are to be multiplied
        with: 0 for groups pruned now or before, 1 - p for the survivors of a set that has just
        met its goal (their p becomes 0), otherwise 1.
    """
    count = len(sets.goal)
    of_group = tf.constant(sets.of_group)  # ascending, so it holds in the order of ranks too
    pruned = p >= 1
    done = tf.math.unsorted_segment_sum(tf.cast(pruned, tf.int32), of_group, count)
    left = tf.maximum(sets.goal - done, 0)
    order = rank(scores, of_group, pruned)
    place = _place(sets)

    to_prune = tf.gather(tf.maximum(sets.aim - done, 1), of_group)
    delta = increment(tf.cast(place, tf.float32), to_prune, A, u)
    # Were more to rise, fewer groups than shall stay would take part before the end.
    delta = tf.where(place < tf.gather(left, of_group), delta, tf.minimum(delta, 0.0))
    delta = tf.where(tf.cast(made, tf.float32) * A < EXPLORATION, delta, tf.maximum(delta, 0.0))
    active = tf.gather(left > 0, of_group) & ~tf.gather(pruned, order)
    before = tf.gather(p, order)
    after = tf.where(active, tf.clip_by_value(before + delta, 0, 1), before)
    p = tf.scatter_nd(order[:, None], after, tf.shape(p))

    pruned = p >= 1
    done_now = tf.math.unsorted_segment_sum(tf.cast(pruned, tf.int32), of_group, count)
    settled = tf.gather((left > 0) & (done_now >= sets.goal), of_group) & ~pruned
    scale = tf.where(pruned, 0.0, tf.where(settled, 1 - p, 1.0))
    return tf.where(settled, 0.0, p), scale


def lowest(scores: tf.Tensor, sets: Sets, pruned: tf.Tensor, due: tf.Tensor) -> tf.Tensor:
    """The groups that are pruned when of each set so many are to be: the least important.

    Args:
        scores: Importance, shape (groups,), float32.
        sets: Which groups are ranked together.
        pruned: Groups that are pruned already and stay so, shape (groups,), bool.
        due: Groups that each set is to have pruned, shape (sets,), int32.

    Returns:
        Booleans of shape (groups,).
    """
    of_group = tf.constant(sets.of_group)
    done = tf.math.unsorted_segment_sum(tf.cast(pruned, tf.int32), of_group, len(sets.goal))
    order = rank(scores, of_group, pruned)
    chosen = _place(sets) < tf.gather(tf.maximum(due - done, 0), of_group)
    return pruned | tf.scatter_nd(order[:, None], chosen, tf.shape(chosen))


def _place(sets: Sets) -> np.ndarray:
    """For each position in the order of `rank` the rank within its set."""
    starts = np.cumsum([0, *np.bincount(sets.of_group, minlength=len(sets.goal))[:-1]])
    return (np.arange(len(sets.of_group)) - starts[sets.of_group]).astype(np.int32)


def keep(p: tf.Tensor, seed: int, step: tf.Tensor) -> tf.Tensor:
    """Draws a mask: a pure function of seed, step and p, the same wherever it is computed.

    It is ``tf.random.stateless_uniform(tf.shape(p), seed=[seed, step]) >= p`` as that is outside
    of XLA.

    Args:
        p: Pruning probabilities, shape (groups,), float32.
        seed: The set's seed, in [0, 2**31).
        step: Training step, scalar integer.

    Returns:
        Booleans of shape (groups,): True where the group takes part in this step.

    Example:
        >>> bool(tf.reduce_all(keep(tf.zeros([8]), seed=1, step=7)))
        True
    """
    seed = tf.stack([tf.constant(seed, tf.int64), tf.cast(step, tf.int64)])
    # tf.random.stateless_uniform draws the same bits everywhere but makes other floats of them
    # under XLA (from the high bits, not the low ones): so they are made here, as it does without.
    bits = tf.random.stateless_uniform(tf.shape(p), seed, None, None, dtype=tf.uint32, alg="philox")
    mantissa = tf.bitwise.bitwise_and(bits, tf.constant(0x7FFFFF, tf.uint32))
    one_to_two = tf.bitwise.bitwise_or(mantissa, tf.constant(0x3F800000, tf.uint32))
    return tf.bitcast(one_to_two, tf.float32) - 1 >= p


def updates_needed(
    p: np.ndarray,
    sets: Sets,
    A: float,
    u: float,
    made: int = 0,
    noise: float = 0.05,
    limit: int = LIMIT,
) -> int | None:
    """Simulates how many updates it takes until every set meets its goal.

    What has risen so far is taken to be the least important of its set.

    Args:
        p: Probabilities to start from, shape (groups,).
        sets: The sets with their goals.
        A: Largest increment.
        u: Height of the centre of symmetry as a share of A.
        made: Updates made before.
        noise: Standard deviation added to scores uniform in [0, 1] at each ranking: scores of
            a network in training fluctuate, and groups then overtake each other.
        limit: Updates after which to give up.

    Returns:
        The number of further updates, 0 if all goals are met, or None if `limit` is not enough.

    Example:
        >>> updates_needed(np.zeros(64, np.float32), Sets.of([64], [32], 0.1), A=0.2, u=0.25) < 30
        True
    """
    random = np.random.default_rng(0)
    drawn = random.uniform(size=len(p))
    base = np.empty_like(drawn)
    base[np.lexsort((drawn, -np.asarray(p), sets.of_group))] = drawn[
        np.lexsort((drawn, sets.of_group))
    ]
    goal = int(sets.goal.sum())
    step = tf.function(lambda p, scores, made: update(p, scores, sets, A, u, made)[0])
    for more in range(limit + 1):
        if int((np.asarray(p) >= 1).sum()) >= goal:
            return more
        scores = tf.cast(base + random.normal(scale=noise, size=len(p)), tf.float32)
        p = step(tf.cast(p, tf.float32), scores, tf.constant(made + more)).numpy()
    return None
