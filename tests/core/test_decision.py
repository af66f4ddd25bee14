"""One update of a whole model, from arrays alone."""

import numpy as np

from keras_spp.core import arrays
from keras_spp.core.decision import FlatGroups, State, accumulated, decide
from keras_spp.core.schedule import SPPSchedule


def groups(*readers, overshoot=0.1):
    """Each reader a list of (name, size, goal)."""
    keys = "name", "size", "goal"
    entries = [[dict(zip(keys, entry, strict=True)) for entry in reader] for reader in readers]
    return FlatGroups.of(entries, overshoot)


WIDE, NARROW = ("wide", 4, 2), ("narrow", 2, 1)


def start(flat, p=None):
    count = len(flat.sets.of_group)
    p = np.zeros(count, np.float32) if p is None else np.float32(p)
    scores = [np.zeros(len(places), np.float32) for places in flat.places]
    return State(p, scores, np.int64(0), np.int64(0))


def test_what_several_layers_read_stands_in_the_vector_once():
    flat = groups([WIDE], [NARROW, WIDE])
    assert flat.names == ["wide", "narrow"] and flat.sets.goal.tolist() == [2, 1]
    values = np.arange(6)
    parts = flat.split(arrays, values)
    assert [part.tolist() for part in parts] == [[0, 1, 2, 3], [4, 5, 0, 1, 2, 3]]
    assert flat.join(arrays, parts).tolist() == values.tolist()


def test_sets_that_a_layer_reads_can_be_left_alone():
    flat = groups([WIDE], [NARROW, WIDE], [NARROW])
    assert flat.without([]).goal.tolist() == [2, 1]
    assert flat.without([0]).goal.tolist() == [0, 1]
    assert flat.without([1]).goal.tolist() == [0, 0]
    assert flat.sets.goal.tolist() == [2, 1]


def test_scores_are_relative_to_their_layer_and_added():
    flat = groups([WIDE], [WIDE])
    scored = [np.float32([4000, 3000, 2000, 1000]), np.float32([0.1, 0.2, 0.3, 0.8])]
    schedule = SPPSchedule(A=0.5)
    after, scale = decide(arrays, schedule, flat, flat.sets, start(flat), scored, True)
    total = scored[0] / 2500 + scored[1] / 0.35
    lowest = np.argsort(total)[:2]
    assert set(np.flatnonzero(after.p)) == set(lowest)
    assert after.made == 1 and not after.finished and scale.tolist() == [1] * 4
    assert all(now is not old for now, old in zip(after.scores, scored, strict=True))
    for now, new in zip(after.scores, scored, strict=True):
        np.testing.assert_array_equal(now, new)


def test_pruned_groups_do_not_count_in_the_mean():
    flat = groups([("a", 3, 2)], [("a", 3, 2), ("b", 1, 0)])
    # Without group 0 the means are 2 and 2; the sums rank group 1 behind group 2.
    scored = [np.float32([0, 3, 1]), np.float32([0, 1, 2.9, 2.1])]
    schedule, state = SPPSchedule(A=1.0), start(flat, [1, 0, 0, 0])
    after, _ = decide(arrays, schedule, flat, flat.sets, state, scored, True)
    assert after.p.tolist() == [1, 0, 1, 0] and after.finished == 1


def test_numbers_that_are_not_finite_decide_nothing():
    flat = groups([WIDE])
    scored = [np.float32([1, np.nan, 2, 3])]
    state = start(flat, [0.5, 0.1, 0, 0])
    after, scale = decide(arrays, SPPSchedule(), flat, flat.sets, state, scored, False)
    assert after.p.tolist() == state.p.tolist() and scale.tolist() == [1] * 4
    assert after.made == 0 and after.scores[0].tolist() == [0] * 4


def test_scores_remember():
    old, new = [np.float32([1, 2])], [np.float32([3, 4])]
    assert accumulated(SPPSchedule(score_decay=0.5), old, new)[0].tolist() == [3.5, 5]


def test_a_model_is_pruned_to_its_goals_and_no_further():
    flat = groups([WIDE], [NARROW, WIDE])
    random, state = np.random.default_rng(0), start(flat)
    schedule = SPPSchedule(A=0.3, scale_survivors=True)
    for _ in range(60):
        scored = [random.uniform(size=len(places)).astype(np.float32) for places in flat.places]
        state, _ = decide(arrays, schedule, flat, flat.sets, state, scored, True)
        if state.finished:
            break
    assert np.bincount(flat.sets.of_group[state.p >= 1]).tolist() == [2, 1]
