"""A plan is tried without wrapping anything: a plain model is cut as the pruned one would be."""

import warnings

import numpy as np
import pytest

import keras_spp as spp
from keras_spp.pruning.network import label
from keras_spp.pruning.targets import Ratio
from keras_spp.shrinking.shrink import shrunk_to
from tests.helpers.both_keras import array
from tests.helpers.slow import slow_but
from tests.zoo.random_models import random_model

pytestmark = pytest.mark.usefixtures("keras")


@pytest.mark.parametrize("seed", slow_but(range(10), range(4)))
def test_it_is_what_shrink_makes_of_a_model_whose_first_groups_are_pruned(seed):
    model = random_model(seed)
    before = [array(weight) for weight in model.weights]
    network = label(model)
    goals = Ratio(0.5).meet(network, spp.Uniform(), None, 1)
    small = shrunk_to(network.model, network.groups.coupling, network.groups.dead(goals))

    pruner = spp.Pruner(spp.prune(model, pruning_ratio=0.5, round_to=1))
    assert dict(zip(pruner.names, pruner.sets.goal, strict=True)) == {
        entry.name: goal for entry, goal in zip(network.groups.sets, goals, strict=True)
    }
    of_group = pruner.sets.of_group
    place = np.arange(len(of_group)) - np.searchsorted(of_group, of_group)
    pruner.set_probabilities(place < pruner.sets.goal[of_group])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nobody has counted these groups as pruned
        expected = spp.shrink(pruner.model)
    kinds = [[(layer.name, type(layer)) for layer in each.layers] for each in (small, expected)]
    assert kinds[0] == kinds[1]
    for weight, other in zip(small.weights, expected.weights, strict=True):
        np.testing.assert_array_equal(array(weight), array(other), f"seed {seed}: {weight.name}")
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(array(weight), value)
    assert network.groups.cost(goals) == spp.analyze(small).macs
