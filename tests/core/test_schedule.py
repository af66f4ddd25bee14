import re

import numpy as np
import pytest

from keras_spp.core.probability import Sets
from keras_spp.core.schedule import GradualSchedule, OneShotSchedule, SPPSchedule


@pytest.mark.parametrize(
    ("name", "wanted", "values"),
    [
        ("A", "a number in (0, 1]", [0, -0.1, 1.01, np.nan, np.inf, "0.1", None, True]),
        ("u", "a number in (0, 0.5)", [0, 0.5, -1, np.nan, "0.1", None]),
        ("frequency", "None or an integer of at least 1", [0, -3, 2.0, 1.5, "2", True]),
        ("begin_step", "an integer of at least 0", [-1, 1.5, None, "0", False]),
        ("overshoot", "a number in [0, 1]", [-0.1, 1.5, np.nan, None, "0"]),
        ("score_decay", "a number in [0, 1)", [-0.1, 1, 1.5, np.nan, None]),
        ("evaluation", '"expected" or "sampled"', ["", None, True, "both"]),
        ("scale_survivors", "True or False", ["", None, 1, np.ones(2)]),
    ],
)
def test_an_argument_out_of_range_is_refused_with_its_name_range_and_value(name, wanted, values):
    for value in values:
        message = f"`{name}` must be {wanted} but is {value!r}."
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            SPPSchedule(**{name: value})


def test_the_ends_of_the_ranges_and_numpy_numbers_are_accepted():
    SPPSchedule(A=1, u=0.499, frequency=1, begin_step=0, overshoot=0, score_decay=0)
    SPPSchedule(A=np.float32(0.5), overshoot=1, score_decay=0.99)
    schedule = SPPSchedule(frequency=np.int64(7), begin_step=np.int32(2))
    assert (schedule.frequency, schedule.begin_step) == (7, 2)
    assert type(schedule.frequency) is int and type(schedule.A) is float  # for JSON


def test_the_defaults_are_the_papers_with_an_overshoot_that_lets_pruning_end():
    schedule = SPPSchedule()
    assert (schedule.A, schedule.u, schedule.overshoot) == (0.05, 0.25, 0.1)
    assert (schedule.frequency, schedule.begin_step, schedule.score_decay) == (None, 0, 0)
    assert not schedule.scale_survivors  # the paper scales


@pytest.mark.parametrize(("frequency", "begin"), [(1, 0), (3, 0), (4, 6), (180, 5)])
def test_updates_in_counts_the_steps_at_which_an_update_is_due(frequency, begin):
    schedule = SPPSchedule(frequency=frequency, begin_step=begin)
    due = [bool(schedule.due(step, frequency)) for step in range(400)]
    for steps in (0, 1, 3, 10, 186, 400):
        assert schedule.updates_in(steps, frequency) == sum(due[:steps])


def test_called_as_tfmot_does_it_expects_the_probability_of_the_least_important_group():
    schedule = SPPSchedule(A=0.4, frequency=2, begin_step=4)
    expected = [float(schedule(step)[1]) for step in (0, 4, 6, 8, 10, 100)]
    np.testing.assert_allclose(expected, [0, 0, 0.4, 0.8, 1, 1])


@pytest.mark.parametrize(("name", "value"), [("updates", 0), ("power", 0), ("updates", 2.5)])
def test_gradual_arguments_outside_their_range_are_refused(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        GradualSchedule(**{name: value})


def test_updates_are_due_every_frequency_steps_after_begin_step_and_never_before_training():
    schedule = SPPSchedule(frequency=4, begin_step=3)
    due = [step for step in range(20) if bool(schedule(np.int64(step))[0])]
    assert due == [7, 11, 15, 19]
    assert not SPPSchedule(frequency=1)(0)[0]


SCORES = np.float32([5, 1, 4, 2, 3, 0])


def pruned_after(schedule, made, p):
    """What one update prunes of sets of two and of four groups, half of each."""
    sets = Sets.of([2, 4], [1, 2], 0.0)
    p, scale = schedule.move(np.float32(p), SCORES, sets, np.int64(made))
    np.testing.assert_array_equal(scale, 1 - p)
    return p.tolist()


def test_one_shot_prunes_the_least_important_of_each_set_at_once():
    assert pruned_after(OneShotSchedule(), 0, [0] * 6) == [0, 1, 0, 1, 0, 1]


def test_gradual_pruning_follows_the_polynomial_and_what_is_pruned_stays():
    schedule = GradualSchedule(updates=4, power=3)
    shares = [float(schedule.share(np.float32(updates))) for updates in (0, 1, 2, 4, 9)]
    np.testing.assert_allclose(shares, [0, 1 - 0.75**3, 1 - 0.5**3, 1, 1])
    slow = GradualSchedule(updates=2, power=1)
    assert pruned_after(slow, 0, [0] * 6) == [0, 1, 0, 0, 0, 1]
    assert pruned_after(slow, 1, [1, 0, 0, 0, 1, 0]) == [1, 0, 0, 0, 1, 1]


def test_how_many_updates_a_gradual_schedule_still_needs():
    schedule, sets = GradualSchedule(updates=4), Sets.of([4], [2], 0.0)
    needed = [schedule.updates_needed(np.zeros(4), sets, made) for made in (0, 1, 3, 4, 9)]
    assert needed == [4, 3, 1, 1, 1]
