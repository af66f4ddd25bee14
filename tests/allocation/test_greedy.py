import itertools

import numpy as np
import pytest
import tf_keras as keras

from keras_spp.allocation import greedy
from keras_spp.core.cost import MACs
from keras_spp.core.groups import Groups
from keras_spp.frameworks.tf_keras.tracing import find_channels
from tests.helpers.judged import net
from tests.zoo.models import L, randomize


@pytest.mark.parametrize("seed", range(50))
def test_the_hull_is_convex_and_ends_where_the_curve_ends(seed):
    random = np.random.default_rng(seed)
    saved = np.cumsum(random.integers(0, 3, 8)).astype(float)
    rises = np.cumsum(random.normal(0.3, 1, 8)).round(1)
    steps = greedy._hull(saved, rises)
    shares, macs, costs = np.transpose(steps)
    assert shares.sum() == pytest.approx(1) and macs.sum() == saved[-1], seed
    assert costs.sum() == pytest.approx(max(rises.max(), 0)) and (costs >= 0).all(), seed
    prices = [cost / size if size else np.inf for size, cost in zip(macs, costs, strict=True)]
    assert all(a <= b + 1e-9 for a, b in itertools.pairwise(prices)), (seed, prices)


@pytest.mark.parametrize("granularity", ["channel", "column"])
def test_what_costs_least_per_mac_goes_first(granularity):
    groups = Groups(find_channels(net()), granularity)
    allocation, rises = greedy.Stepwise(), {}
    left = np.sqrt([1, 0.75, 0.5, 0.25])
    for number, entry in enumerate(groups.sets):  # relative to what is left straight: one step
        rises[entry.name] = greedy._saved(groups, entry, 4) * (1 + number) * left
    allocation.sort(groups, rises)
    saved = np.array([greedy._saved(groups, entry, 4)[-1] for entry in groups.sets])
    for strength in (0.1, 0.3, 0.5, 0.9):
        ratios = np.array(allocation.ratios(groups.sets, strength))
        assert ratios @ saved == pytest.approx(strength * saved.sum())
        assert ((ratios[:-1] > 1 - 1e-9) | (ratios[1:] < 1e-9)).all(), ratios


def test_the_end_of_a_set_is_dear_even_if_the_loss_rises_no_more():
    model = keras.Sequential([keras.Input((4,)), L.Dense(16), L.Dense(16), L.Dense(16), L.Dense(4)])
    groups = Groups(find_channels(randomize(model)), "channel")
    rises = {entry.name: np.full(8, 1.0 + n) for n, entry in enumerate(groups.sets)}
    allocation = greedy.Stepwise()
    allocation.sort(groups, rises)
    ratios = allocation.ratios(groups.sets, 0.5)
    assert 0 < ratios[0] < 1, ratios  # the cheapest by its MACs, and yet not emptied


def test_where_no_macs_are_counted_groups_are():
    model = randomize(keras.Sequential([keras.Input((4,)), L.Dense(8), L.Dense(24), L.Dense(2)]))
    classes = find_channels(model)
    groups = Groups(classes, "channel", cost=MACs(classes, "convolutions"))
    allocation = greedy.Stepwise()
    allocation.sort(groups, {entry.name: np.ones(2) for entry in groups.sets})  # one step
    assert [entry.size for entry in groups.sets] == [8, 24]
    assert allocation.ratios(groups.sets, 0.5) == [0, pytest.approx(2 / 3)]  # it holds 24 of 32
