import re
import warnings

import pytest

import keras_spp as spp
from keras_spp.core.pace import Pace
from tests.helpers.training import compiled, fit, prune, sgd

pytestmark = pytest.mark.filterwarnings("ignore:SPP has not met", "ignore:SPP will not reach")


def plan(pruned, steps):
    """The warning of a plan, or None."""
    pruner = spp.Pruner(pruned, sgd())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pruner.plan(steps)
    messages = [str(warning.message) for warning in caught if "SPP" in str(warning.message)]
    assert len(messages) <= 1
    return messages[0] if messages else None


def test_enough_steps_are_planned_without_a_word():
    assert plan(prune(frequency=5), 500) is None


@pytest.mark.parametrize("begin", [0, 37])
def test_too_few_steps_are_announced_with_the_numbers_and_the_advice_suffices(begin):
    message = plan(prune(frequency=10, begin_step=begin), 100 + begin)
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
    assert plan(prune(frequency=largest, begin_step=begin), steps) is None
    assert plan(prune(frequency=largest + 1, begin_step=begin), steps) is not None
    pruned = compiled(prune(frequency=largest, begin_step=begin))
    fit(pruned, steps)
    assert spp.Pruner(pruned).progress().finished


def test_if_no_frequency_would_do_the_advised_number_of_steps_suffices():
    message = plan(prune(frequency=1, begin_step=4), 12)
    match = re.search(r"no frequency would do; raise A or train for (\d+) steps\.$", message)
    assert match, message
    enough = int(match.group(1))
    assert plan(prune(frequency=1, begin_step=4), enough) is None
    assert plan(prune(frequency=1, begin_step=4), enough - 1) is not None


def test_steps_without_a_single_update_are_an_error():
    for options, steps in (({"frequency": 180}, 180), ({"begin_step": 60}, 50)):
        pruner = spp.Pruner(prune(**options), sgd())
        with pytest.raises(ValueError, match=f"SPP would prune nothing: {steps} steps with"):
            pruner.plan(steps)


def test_a_short_rest_of_a_run_that_has_pruned_before_is_only_a_warning():
    pruned = compiled(prune(frequency=5))
    fit(pruned, 12)
    with pytest.warns(UserWarning, match="give 0 updates"):
        spp.Pruner(pruned).plan(2)


def endless(**options):
    """Steps so small that the simulation gives up."""
    return prune(A=1e-4, **options)


def test_a_target_that_takes_longer_than_the_simulation_is_announced():
    message = plan(endless(frequency=5), 500)
    assert message.startswith("SPP may not reach its target: 500 steps with frequency=5")
    assert message.endswith("the target needs an unknown number; raise A.")


def test_when_not_even_the_simulation_ends_the_frequency_chosen_is_1():
    message = plan(endless(frequency=None), 500)
    assert message.startswith("SPP may not reach its target: 500 steps with frequency=1 ")


def test_a_frequency_that_is_chosen_leaves_half_of_the_steps_for_fine_tuning():
    pruned = compiled(prune(frequency=None))
    assert plan(pruned, 400) is None
    frequency = int(spp.Pruner(pruned).conductor.frequency)
    assert frequency > 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spp.Pruner, "plan", lambda *_: None)  # keep that frequency
        fit(pruned, 240)
    assert spp.Pruner(pruned).progress().finished


def test_a_frequency_that_was_chosen_stays_for_its_steps_and_is_chosen_anew_after_them():
    pruned = compiled(prune(frequency=None))
    pruner = spp.Pruner(pruned)
    pruner.plan(1000)
    first = int(pruner.conductor.frequency)
    pruned.optimizer.iterations.assign(500)
    pruner.plan(500)  # a restored run
    assert int(pruner.conductor.frequency) == first
    pruned.optimizer.iterations.assign(1000)
    pruner.plan(3000)  # another call of fit
    assert int(pruner.conductor.frequency) > 2 * first


def test_an_unknown_number_of_steps_needs_a_frequency():
    with pytest.raises(ValueError, match="the number of training steps is not known"):
        plan(prune(frequency=None), None)
    assert plan(prune(frequency=3), None) is None


# -- in numbers ----------------------------------------------------------------------------------


def pace(steps=100, first=0, needed=10, **options):
    return Pace(spp.SPPSchedule(**options), first, steps, needed)


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
