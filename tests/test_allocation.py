import pytest
import tf_keras as keras
from hypothesis import given
from hypothesis import strategies as st
from models import L

import keras_spp as spp
from keras_spp import allocation
from keras_spp.graph import find_channels
from keras_spp.groups import Groups


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


def some_groups(granularity="channel"):
    x = keras.Input((16, 16, 3))
    y = L.Conv2D(48, 3, name="a")(x)
    y = L.Conv2D(20, 3, name="b")(y)
    y = L.Conv2D(64, 3, name="c")(y)
    return Groups(find_channels(keras.Model(x, L.Dense(4)(y))), granularity)


@pytest.mark.parametrize("round_to", [1, 4, 8])
@pytest.mark.parametrize("granularity", ["channel", "column"])
@pytest.mark.parametrize("target", [1.0, 1.3, 2.0, 4.0])
def test_a_speedup_is_met_and_nothing_is_pruned_that_it_does_not_need(
    granularity, target, round_to
):
    groups = some_groups(granularity)
    dense = groups.cost()
    allocation.meet_speedup(groups, target, spp.Uniform(), round_to)
    assert dense / groups.cost() >= target
    assert all((entry.size - entry.goal) % round_to == 0 for entry in groups.sets if entry.goal)
    close = granularity == "channel" and dense / groups.cost() <= target * allocation.CLOSE
    for entry in groups.sets:
        if entry.goal and not close:
            kept, survivors = entry.goal, entry.size - entry.goal
            entry.goal = max(0, entry.size - (survivors // round_to + 1) * round_to)
            assert dense / groups.cost() < target, entry
            entry.goal = kept


def test_survivors_fill_whole_blocks_when_that_meets_the_target_closely():
    x = keras.Input((16, 16, 3))
    for name in "abc":
        x = L.Conv2D(64, 3, name=name)(x if name > "a" else (inputs := x))
    groups = Groups(find_channels(keras.Model(inputs, L.Dense(4)(x))), "channel")
    dense = groups.cost()
    allocation.meet_speedup(groups, 2.1, spp.Uniform(), 1)
    assert 2.1 <= dense / groups.cost() <= 2.1 * allocation.CLOSE
    assert all((entry.size - entry.goal) % 16 == 0 for entry in groups.sets)


def test_the_uniform_allocation_needs_no_data():
    allocator = spp.Uniform()
    allocator.prepare(None, some_groups(), None)
    assert allocator.ratios([None] * 3, 0.25) == [0.25] * 3
