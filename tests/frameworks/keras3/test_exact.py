"""The small model of Keras 3 computes what the one with zeroed channels computes."""

import pytest

import keras_spp as spp
from tests.helpers.keras3 import check_exact
from tests.helpers.slow import slow_but
from tests.zoo.keras3_models import STEPS, random_model, step_model


@pytest.mark.parametrize("name", STEPS)
def test_every_kind_of_step_shrinks_exactly_and_lets_channels_go(name):
    model = step_model(name)
    small, groups = check_exact(model)
    assert groups.sets, name
    assert small.count_params() < model.count_params()
    before, after = spp.analyze(model), spp.analyze(small)
    assert not groups.coupling.channels.failures
    assert after.macs < before.macs


@pytest.mark.parametrize("seed", slow_but(range(20), range(8)))
def test_random_networks_shrink_exactly(seed):
    model = random_model(seed)
    small, groups = check_exact(model, share=0.6, seed=seed)
    assert not groups.coupling.channels.failures
    assert [layer.name for layer in small.layers] == [layer.name for layer in model.layers]
