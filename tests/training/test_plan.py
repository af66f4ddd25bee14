import re
import warnings

import pytest

import keras_spp as spp
from tests.helpers.training import compiled, fit, prune, sgd

pytestmark = [
    pytest.mark.usefixtures("keras"),
    pytest.mark.filterwarnings("ignore:SPP has not met", "ignore:SPP will not reach"),
]


def plan(pruned, steps):
    """The warning of a plan, or None."""
    pruner = spp.Pruner(pruned, sgd())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pruner.plan(steps)
    messages = [str(warning.message) for warning in caught if "SPP" in str(warning.message)]
    assert len(messages) <= 1
    return messages[0] if messages else None


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
