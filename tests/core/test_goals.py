"""From a target to goals, on groups of records written by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_spp.allocation.uniform import Uniform
from keras_spp.core import goals as allocation
from tests.helpers.records import Record


@given(size=st.integers(1, 300), ratio=st.floats(0, 1), round_to=st.integers(1, 16))
def test_survivors_are_enough_a_multiple_and_never_fewer_than_one_multiple(size, ratio, round_to):
    goal = allocation.goal(size, ratio, round_to)
    survivors = size - goal
    assert 0 <= goal <= size * ratio + 1
    assert survivors == size or (survivors % round_to == 0 and survivors >= round_to)


@given(size=st.integers(1, 300), first=st.floats(0, 1), second=st.floats(0, 1))
def test_a_stronger_ratio_never_prunes_less(size, first, second):
    low, high = sorted([first, second])
    assert allocation.goal(size, low, 8) <= allocation.goal(size, high, 8)


def three_convolutions(filters, granularity):
    """Groups of convolutions with windows of 3 x 3 that make maps of 14, 12 and 10 pixels."""
    net = Record()
    x = net.image(3)
    for name, count, size in zip("abc", filters, (14, 12, 10), strict=True):
        x = net.conv(name, x, count, size=3, positions=(size, size))
    return net.groups(net.dense("dense", x, 4, positions=(10, 10)), granularity=granularity)


def some_groups(granularity="channel"):
    return three_convolutions((48, 20, 64), granularity)


@pytest.mark.parametrize("round_to", [1, 4, 8])
@pytest.mark.parametrize("granularity", ["channel", "column"])
@pytest.mark.parametrize("target", [1.0, 1.3, 2.0, 4.0])
def test_a_speedup_is_met_and_nothing_is_pruned_that_it_does_not_need(
    granularity, target, round_to
):
    groups = some_groups(granularity)
    dense = groups.dense()
    goals = allocation.meet_speedup(groups, target, Uniform(), round_to)
    assert dense / groups.cost(goals) >= target
    sizes = np.array([entry.size for entry in groups.sets])
    assert not ((sizes - goals)[goals > 0] % round_to).any()
    close = granularity == "channel" and dense / groups.cost(goals) <= target * allocation.CLOSE
    for number in np.flatnonzero(goals):
        if not close:
            fewer, survivors = goals.copy(), sizes[number] - goals[number]
            fewer[number] = max(0, sizes[number] - (survivors // round_to + 1) * round_to)
            assert dense / groups.cost(fewer) < target, groups.sets[number]


def test_goals_are_returned_and_nothing_else_changes():
    groups = some_groups()
    before = groups.dense(), vars(groups).copy(), [vars(entry).copy() for entry in groups.sets]
    goals = allocation.meet_speedup(groups, 2.0, Uniform(), 4)
    again = allocation.meet_speedup(groups, 2.0, Uniform(), 4)
    assert goals is not again and goals.tolist() == again.tolist() and goals.dtype == int
    assert before == (groups.dense(), vars(groups), [vars(entry) for entry in groups.sets])


def test_the_strongest_goals_are_named_where_a_target_is_out_of_reach():
    groups = some_groups()
    with pytest.raises(allocation.OutOfReach, match="`target_speedup` is 1000 but the largest"):
        allocation.meet_speedup(groups, 1000, Uniform(), 8)
    strongest = allocation.strongest(groups, Uniform(), 8)
    assert [entry.size - goal for entry, goal in zip(groups.sets, strongest, strict=True)] == [
        8
    ] * 3
    reached = np.floor(100 * groups.dense() / groups.cost(strongest)) / 100
    goals = allocation.meet_speedup(groups, reached, Uniform(), 8)
    assert goals.tolist() == strongest.tolist()


def test_an_allocation_needs_two_methods_and_may_search_with_a_third():
    class Odd:
        def prepare(self, model, groups, representative_data):
            pass

        def ratios(self, sets, strength):
            return [strength, 0.0, 0.0]

    class Trying(Odd):
        def search(self, meet):
            self.tried = meet(Odd())

    groups, trying = some_groups(), Trying()
    goals = allocation.meet_speedup(groups, 1.2, trying, 1)
    assert goals[0] > 0 and not goals[1:].any()
    assert trying.tried.tolist() == goals.tolist()
    assert allocation.meet_speedup(groups, 1.2, Odd(), 1).tolist() == goals.tolist()
    goals = allocation.meet_ratio(groups, 0.2, trying, 1)
    assert trying.tried.tolist() == goals.tolist()


def test_survivors_fill_whole_blocks_when_that_meets_the_target_closely():
    groups = three_convolutions((64, 64, 64), "channel")
    dense = groups.dense()
    goals = allocation.meet_speedup(groups, 2.1, Uniform(), 1)
    assert 2.1 <= dense / groups.cost(goals) <= 2.1 * allocation.CLOSE
    assert not ((64 - goals) % 16).any()
    exact = allocation.meet_speedup(groups, 2.1, Uniform(), 1, whole_blocks=False)
    assert ((64 - exact) % 16).any()


def test_the_uniform_allocation_needs_no_data():
    allocator = Uniform()
    allocator.prepare(None, some_groups(), None)
    assert allocator.ratios([None] * 3, 0.25) == [0.25] * 3
