"""Whether steps suffice: in numbers, and with the updates that a simulation needs."""

import re

import numpy as np
import pytest

from keras_spp.core.pace import Pace
from keras_spp.core.probability import Sets
from keras_spp.core.schedule import SPPSchedule


def plan(steps, A=0.3, **options):
    """What is said of a new run of so many steps, or None, and its frequency."""
    schedule = SPPSchedule(A=A, **options)
    sets = Sets.of([16, 12, 8], [8, 6, 4], schedule.overshoot)
    pace = Pace(schedule, 0, steps, schedule.updates_needed(np.zeros(36), sets, 0))
    frequency = schedule.frequency or pace.frequency()
    return pace.shortfall(frequency, made=0), frequency


def test_enough_steps_are_planned_without_a_word():
    assert plan(500, frequency=5) == (None, 5)


@pytest.mark.parametrize("begin", [0, 37])
def test_too_few_steps_are_announced_with_the_numbers_and_the_advice_suffices(begin):
    message, _ = plan(100 + begin, frequency=10, begin_step=begin)
    match = re.fullmatch(
        r"SPP will not reach its target: (\d+) steps with frequency=10 and begin_step=(\d+) give "
        r"(\d+) updates of the pruning probabilities, the target needs about (\d+); "
        r"the largest frequency that would do is (\d+)\.",
        message,
    )
    assert match, message
    steps, first, made, needed, largest = map(int, match.groups())
    assert (steps, first, made) == (100 + begin, begin, 9)
    assert needed > 9
    assert plan(steps, frequency=largest, begin_step=begin)[0] is None
    assert plan(steps, frequency=largest + 1, begin_step=begin)[0] is not None


def test_if_no_frequency_would_do_the_advised_number_of_steps_suffices():
    message, _ = plan(12, frequency=1, begin_step=4)
    match = re.search(r"no frequency would do; raise A or train for (\d+) steps\.$", message)
    assert match, message
    enough = int(match.group(1))
    assert plan(enough, frequency=1, begin_step=4)[0] is None
    assert plan(enough - 1, frequency=1, begin_step=4)[0] is not None


ENDLESS = 1e-4  # steps so small that the simulation gives up


def test_a_target_that_takes_longer_than_the_simulation_is_announced():
    message, _ = plan(500, A=ENDLESS, frequency=5)
    assert message.startswith("SPP may not reach its target: 500 steps with frequency=5")
    assert message.endswith("the target needs an unknown number; raise A.")


def test_when_not_even_the_simulation_ends_the_frequency_chosen_is_1():
    message, frequency = plan(500, A=ENDLESS, frequency=None)
    assert frequency == 1
    assert message.startswith("SPP may not reach its target: 500 steps with frequency=1 ")


def pace(steps=100, first=0, needed=10, **options):
    return Pace(SPPSchedule(**options), first, steps, needed)


def test_no_update_happens_before_there_was_training_nor_before_begin_step():
    assert (pace().idle, pace().room) == (1, 99)
    assert (pace(begin_step=30).idle, pace(begin_step=30).room) == (31, 69)
    assert (pace(first=20, begin_step=30).idle, pace(first=50, begin_step=30).idle) == (11, 1)
    assert pace(steps=5, begin_step=30).room == 0


@pytest.mark.parametrize(
    ("steps", "needed", "frequency"),
    [(1001, 10, 10), (1001, 0, 100), (1001, None, 1), (20001, None, 2), (5, 10, 1)],
)
def test_pruning_takes_a_tenth_of_the_room(steps, needed, frequency):
    assert pace(steps, needed=needed).frequency() == frequency


def test_a_run_goes_on_until_it_was_to_end():
    for first, until, goes_on in ((0, 100, True), (40, 100, True), (0, 0, False), (100, 100, False),
                                  (0, 101, False)):  # fmt: skip
        assert pace(first=first).goes_on(until) == goes_on, (first, until)
    assert pace(first=40).end == 140


def test_what_suffices_is_not_told_and_what_has_begun_is_no_error():
    assert pace().shortfall(9, made=0) is None
    assert pace(needed=0, steps=1).shortfall(50, made=0) is None
    assert "give 2 updates" in pace().shortfall(40, made=0)
    assert "give 0 updates" in pace().shortfall(100, made=1)
    with pytest.raises(ValueError, match="SPP would prune nothing"):
        pace().shortfall(100, made=0)
