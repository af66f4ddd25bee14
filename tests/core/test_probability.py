import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_spp.core import arrays, probability
from keras_spp.core.probability import Sets
from keras_spp.core.schedule import SPPSchedule
from tests.helpers.slow import slow_but

A, U = 0.05, 0.25

amplitudes = st.floats(0.001, 1.0)
centres = st.floats(0.01, 0.49)


def increments(to_prune, ranks, A=A, u=U):
    ranks = np.asarray(ranks, np.float32)
    return probability.increment(arrays, ranks, float(to_prune), A, u)


def move(p, scores, sets, A=A, u=U, made=0):
    """One update as arrays (p, scale)."""
    schedule = SPPSchedule(A=A, u=u, scale_survivors=True)
    return schedule.move(np.float32(p), np.float32(scores), sets, made)


def needed(p, sets, A=A, made=0, noise=0.05, limit=probability.LIMIT):
    """Updates until every goal is met."""

    def step(p, scores, made):
        return move(p, scores, sets, A, made=made)[0]

    return probability.updates_needed(p, sets, step, made, noise, limit)


def one_set(size, goal, overshoot=0.0):
    return Sets.of([size], [goal], overshoot)


# -- the increment -------------------------------------------------------------------------------


@given(amplitudes, centres, st.integers(1, 5000))
def test_increment_is_A_at_rank_0_u_times_A_at_the_centre_and_0_at_rank_K(A, u, to_prune):
    centre = -math.log(u) / (math.log(2) - math.log(u)) * to_prune
    np.testing.assert_allclose(
        increments(to_prune, [0, centre, to_prune], A, u), [A, u * A, 0], rtol=1e-4, atol=1e-6 * A
    )


@given(amplitudes, centres, st.integers(1, 500))
def test_increment_strictly_decreases_with_rank(A, u, to_prune):
    # To twice K: beyond, the exponential leaves what clipping to [0, 1] lets anyone see.
    assert (np.diff(increments(to_prune, np.arange(2 * to_prune + 1), A, u)) < 0).all()


# No further than the centre: a rank is never negative, and A / u would cancel in float32.
@given(amplitudes, centres, st.integers(1, 500), st.floats(0, 1))
def test_increment_is_symmetric_about_its_centre(A, u, to_prune, share):
    centre = -math.log(u) / (math.log(2) - math.log(u)) * to_prune
    x = share * centre
    above, below = increments(to_prune, [centre + x, centre - x], A, u)
    np.testing.assert_allclose(above + below, 2 * u * A, rtol=1e-3, atol=1e-6 * A)


@given(st.integers(1, 200), st.integers(0, 200))
def test_the_K_least_important_groups_rise_and_all_others_fall(to_prune, others):
    size = to_prune + others
    scores = np.random.default_rng(size).permutation(size)
    p, _ = move(np.full(size, 0.5), scores, one_set(size, to_prune))
    rising, falling = scores < to_prune, scores > to_prune
    assert (p[rising] > 0.5).all(), f"K={to_prune} of {size}: {p[rising].min()} fell"
    assert (p[falling] < 0.5).all(), f"K={to_prune} of {size}: {p[falling].max()} rose"
    # Rank K itself is where the increment crosses zero.
    np.testing.assert_allclose(p[scores == to_prune], 0.5, atol=1e-6)


def test_increment_matches_values_worked_out_by_hand():
    # K = 3, u = 1/4: alpha = ln(8) / 3 = ln 2, N = 2. So delta = A * (1, 1/2, 1/4, 0, -1/2).
    np.testing.assert_allclose(
        increments(3, range(5), A=0.4), 0.4 * np.array([1, 0.5, 0.25, 0, -0.5]), atol=1e-6
    )


# -- sets and their goals ------------------------------------------------------------------------


def test_sets_aim_higher_than_their_goal_by_the_overshoot_but_never_beyond_the_set():
    sets = Sets.of([10, 100, 4], [5, 50, 4], overshoot=0.1)
    assert sets.goal.tolist() == [5, 50, 4]
    assert sets.aim.tolist() == [6, 60, 4]
    assert sets.of_group.tolist() == [0] * 10 + [1] * 100 + [2] * 4


def test_rank_orders_within_each_set_with_pruned_groups_last_and_ties_in_place():
    scores = np.float32([3, 1, 2, 5, 5, 0])
    pruned = np.array([False, True, False, False, False, False])
    order = probability.rank(arrays, scores, np.array([0, 0, 0, 1, 1, 1]), pruned)
    assert order.tolist() == [2, 0, 1, 5, 3, 4]


def test_tied_scores_prune_the_groups_that_come_first():
    p = np.zeros(8, np.float32)
    sets = one_set(8, 3)
    for _ in range(40):
        p, _ = move(p, np.ones(8), sets, A=0.2)
    assert p.tolist() == [1, 1, 1, 0, 0, 0, 0, 0]


# -- one update ----------------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1))
def test_probabilities_stay_between_0_and_1_whatever_the_scores(seed):
    random = np.random.default_rng(seed)
    size = int(random.integers(1, 40))
    goal = int(random.integers(0, size + 1))
    sets = one_set(size, goal, random.uniform(0, 1))
    p = random.uniform(size=size).astype(np.float32)
    for _ in range(5):
        p, scale = move(p, random.normal(size=size), sets, A=float(random.uniform(0.01, 1)))
        assert ((p >= 0) & (p <= 1)).all(), f"seed {seed}: {p}"
        assert ((scale >= 0) & (scale <= 1)).all(), f"seed {seed}: {scale}"


def test_a_probability_comes_back_to_0_when_its_group_recovers_its_importance():
    sets, scores = one_set(8, 4), np.arange(8.0)
    p = np.zeros(8, np.float32)
    for _ in range(10):
        p, _ = move(p, scores, sets)
    risen = p[0]
    scores[0] = 100
    for _ in range(40):
        p, _ = move(p, scores, sets)
    assert risen > 0.4
    assert p[0] == 0


def test_a_pruned_group_stays_pruned_and_is_not_ranked_any_more():
    p = np.array([0, 1, 0, 0], np.float32)
    # The pruned group's score is 0, the least of all, yet group 2 is the one at rank 0.
    p, scale = move(p, [3.0, 0.0, 1.0, 2.0], one_set(4, 2))
    assert p[1] == 1 and scale[1] == 0
    np.testing.assert_allclose(p[2], A)
    for _ in range(30):
        p, scale = move(p, [3.0, 100.0, 1.0, 2.0], one_set(4, 2))
        assert p[1] == 1 and scale[1] == 0


def test_what_is_still_to_be_pruned_decides_how_steep_the_increment_is():
    sets = one_set(8, 4)
    pruned = np.array([1, 1, 0, 0, 0, 0, 0, 0], np.float32)
    p, _ = move(pruned, np.arange(8.0), sets)
    ranked = p[2:]
    np.testing.assert_allclose(ranked, np.maximum(increments(2, range(6)), 0), atol=1e-6)


def test_a_set_that_has_met_its_goal_does_not_move():
    p = np.array([1, 1, 0, 0, 0.5, 0], np.float32)
    after, scale = move(p, np.arange(6.0), one_set(6, 2, overshoot=0.3))
    assert after.tolist() == p.tolist()
    assert scale.tolist() == [0, 0, 1, 1, 1, 1]


def test_a_goal_of_nothing_moves_nothing():
    p, scale = move(np.zeros(5), np.arange(5.0), one_set(5, 0, overshoot=0.5))
    assert p.tolist() == [0] * 5
    assert scale.tolist() == [1] * 5


def test_aiming_for_more_than_is_left_prunes_exactly_the_goal():
    sets = Sets(np.zeros(4, np.int32), np.array([3], np.int32), np.array([400], np.int32))
    p = np.array([1, 0, 0, 0], np.float32)
    for _ in range(50):
        p, _ = move(p, np.arange(4.0), sets)
    assert p.tolist() == [1, 1, 1, 0]


def test_a_whole_set_may_go():
    p = np.zeros(3, np.float32)
    for _ in range(200):
        p, _ = move(p, np.arange(3.0), one_set(3, 3))
    assert p.tolist() == [1, 1, 1]


@given(st.integers(0, 2**32 - 1))
def test_only_as_many_rise_as_are_still_to_be_pruned_and_the_rest_never_does(seed):
    random = np.random.default_rng(seed)
    size = int(random.integers(2, 30))
    goal = int(random.integers(1, size))
    p = random.uniform(0, 0.9, size).astype(np.float32)
    dead = random.permutation(size)[: random.integers(0, goal)]
    p[dead] = 1
    scores = random.normal(size=size)
    after, _ = move(p, scores, one_set(size, goal, random.uniform(0, 1)), A=0.05)
    lowest = np.setdiff1d(np.argsort(scores), dead, assume_unique=True)[: goal - len(dead)]
    assert set(np.flatnonzero(after > p)) == set(lowest), f"seed {seed}"


@given(st.integers(0, 2**32 - 1))
def test_with_steady_scores_no_less_takes_part_on_average_than_shall_stay(seed):
    random = np.random.default_rng(seed)
    size = int(random.integers(2, 40))
    goal = int(random.integers(1, size + 1))
    sets, scores = one_set(size, goal, random.uniform(0, 1)), random.permutation(size)
    p = np.zeros(size, np.float32)
    for made in range(300):
        p, scale = move(p, scores, sets, A=0.1, made=made)
        assert (1 - p).sum() >= size - goal - 1e-4, f"seed {seed}: {p}"
        if (p >= 1).sum() == goal:
            break
    # Nobody else was ever likely to go, so there is nothing to give back or to scale.
    assert scale.tolist() == (scores >= goal).tolist(), f"seed {seed}"


def test_after_exploration_no_probability_falls():
    p = np.array([0.5, 0.5, 0.5, 0.5], np.float32)
    sets, scores, last = one_set(4, 1), np.arange(4.0), round(probability.EXPLORATION / A)
    falling, _ = move(p, scores, sets, made=last - 1)
    assert (falling[2:] < 0.5).all()
    late, _ = move(p, scores, sets, made=last)
    assert late[0] == falling[0] > 0.5
    assert late[1:].tolist() == [0.5] * 3


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1))
def test_no_set_ever_prunes_more_than_its_goal_and_survivors_are_scaled_once(seed):
    random = np.random.default_rng(seed)
    sizes = random.integers(1, 12, random.integers(1, 4)).tolist()
    goals = [int(random.integers(0, size + 1)) for size in sizes]
    sets = Sets.of(sizes, goals, float(random.uniform(0, 1)))
    p = np.zeros(sum(sizes), np.float32)
    weights = np.ones(len(p), np.float32)
    rate = float(random.choice([0.3, 0.7, 1.0]))
    for _ in range(12):
        before = p
        p, scale = move(p, random.integers(0, 4, len(p)), sets, A=rate)
        weights *= scale
        count = np.bincount(sets.of_group[p >= 1], minlength=len(sizes))
        assert (count <= sets.goal).all(), f"seed {seed}: {count} of {goals}"
        assert (p[before >= 1] == 1).all(), f"seed {seed}: a pruned group came back"
        assert (weights[p >= 1] == 0).all(), f"seed {seed}"
        met = np.repeat((count >= sets.goal) & (sets.goal > 0), sizes)
        assert (p[met & (p < 1)] == 0).all(), f"seed {seed}: a survivor's p did not become 0"
        untouched = ~met & (p < 1)
        assert (scale[untouched] == 1).all(), f"seed {seed}: scaled before the end"


@given(st.integers(0, 2**32 - 1))
def test_several_sets_at_once_move_like_each_set_alone(seed):
    random = np.random.default_rng(seed)
    sizes = random.integers(1, 15, random.integers(1, 6)).tolist()
    goals = [int(random.integers(0, size + 1)) for size in sizes]
    overshoot = float(random.choice([0, 0.1, 0.5]))
    rate = float(random.uniform(0.01, 1))
    p = random.uniform(size=sum(sizes)).astype(np.float32)
    sets = Sets.of(sizes, goals, overshoot)
    for start, size, goal in zip(np.cumsum([0, *sizes[:-1]]), sizes, goals, strict=True):
        dead = random.permutation(size)[: random.integers(0, goal + 1)]
        p[start + dead] = 1
    scores = random.integers(0, 8, len(p)).astype(np.float32)  # with ties
    together = move(p, scores, sets, A=rate)
    cuts = np.cumsum(sizes)[:-1]
    parts = zip(np.split(p, cuts), np.split(scores, cuts), sizes, goals, strict=True)
    alone = [move(*part, one_set(size, goal, overshoot), A=rate) for *part, size, goal in parts]
    for number in (0, 1):
        # Not bitwise: TensorFlow's exp rounds otherwise at a vector's end.
        expected = np.concatenate([one[number] for one in alone])
        np.testing.assert_allclose(together[number], expected, 0, 1e-6, err_msg=f"seed {seed}")


def test_survivors_keep_their_expected_weight_when_their_set_is_done():
    p = np.array([0.95, 0.4, 0.1, 0.3], np.float32)
    expected = p + increments(1, [0, 1, 3, 2], A=0.1)
    p, scale = move(p, [0.0, 1.0, 3.0, 2.0], one_set(4, 1), A=0.1)
    assert p.tolist() == [1, 0, 0, 0]
    np.testing.assert_allclose(scale, [0, *(1 - np.clip(expected[1:], 0, 1))], rtol=1e-6)


# -- how long it takes ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "overshoot", "updates"),
    [
        (64, 0.0, 99),
        (64, 0.1, 64),
        (64, 0.2, 55),
        (2304, 0.0, 188),
        (2304, 0.02, 106),
        (2304, 0.05, 86),
        (2304, 0.1, 71),
    ],
)
def test_half_of_the_groups_are_pruned_after_the_published_number_of_updates(
    size, overshoot, updates
):
    simulated = simulate(size, 0.5, overshoot, noise=0.0, limit=200)
    assert simulated == pytest.approx(updates, rel=0.1), f"{simulated} updates"


@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("overshoot", slow_but([0.0, 0.02, 0.1, 0.5], [0.0, 0.1]))
@pytest.mark.parametrize("noise", [0.05, 0.5, 2.0])
@pytest.mark.parametrize("size", slow_but([2, 16, 256, 2304], [16, 256]))
def test_pruning_ends_however_scores_fluctuate(size, noise, overshoot, ratio):
    assert simulate(size, ratio, overshoot, noise, limit=600) is not None


def simulate(size, ratio, overshoot, noise, limit):
    sets = one_set(size, round(ratio * size), overshoot)
    return needed(np.zeros(size), sets, noise=noise, limit=limit)


def test_no_group_dies_sooner_than_1_over_A_updates():
    for rate, least in ((0.05, 20), (0.2, 5), (0.5, 2), (1.0, 1)):
        updates = needed(np.zeros(16), one_set(16, 1), rate, noise=0)
        assert updates is not None and updates >= least


def test_updates_needed_is_0_when_the_goals_are_met_and_fewer_from_a_later_start():
    sets = one_set(32, 16, overshoot=0.1)
    assert needed(np.repeat([1.0, 0.0], 16), sets) == 0
    started = np.repeat([0.8, 0.0], 16)
    from_zero = needed(np.zeros(32), sets)
    later = needed(started, sets)
    assert 0 < later < from_zero


@pytest.mark.parametrize("sizes", [[16, 32, 64], [64] * 4, [2304]])
def test_in_the_middle_of_a_run_the_updates_that_remain_are_told(sizes):
    sets = Sets.of(sizes, [size // 2 for size in sizes], 0.1)
    random, noise, made, told = np.random.default_rng(5), 0.02, 0, {}
    base, p = random.uniform(size=sum(sizes)), np.zeros(sum(sizes))
    while (p >= 1).sum() < sets.goal.sum():
        if made % 20 == 0:
            told[made] = needed(p, sets, made=made, noise=noise)
        p, _ = move(p, base + random.normal(scale=noise, size=len(base)), sets, made=made)
        made += 1
    for after, updates in told.items():
        assert abs(updates - (made - after)) <= 10 + (made - after) / 3, (after, made, told)


# -- masks ---------------------------------------------------------------------------------------


def test_groups_are_kept_with_probability_1_minus_p():
    steps = 4000
    p = np.float32([0.0, 0.1, 0.5, 0.9, 1.0])
    kept = np.mean([arrays.draw(p, 11, step) for step in range(steps)], axis=0)
    assert kept[0] == 1 and kept[4] == 0
    error = 4 * np.sqrt(p * (1 - p) / steps)  # four standard deviations; the draws are fixed
    assert (np.abs(kept - (1 - p)) <= error + 1e-9).all(), f"seed 11: kept {kept}"


def test_a_group_just_below_1_is_not_pruned_but_practically_never_drawn():
    p = np.full(1000, np.nextafter(np.float32(1), np.float32(0)))
    assert (p < 1).all()
    assert arrays.draw(p, 1, 0).sum() <= 1


def test_masks_differ_between_steps_and_between_seeds():
    p = np.full(64, 0.5, np.float32)
    masks = [arrays.draw(p, seed, step) for seed in (1, 2) for step in (0, 1)]
    assert len({mask.tobytes() for mask in masks}) == 4
