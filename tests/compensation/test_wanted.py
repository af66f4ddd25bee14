"""What an original gives is remembered over plans, and is the same as computed anew."""

import numpy as np
import pytest

import keras_spp as spp
from keras_spp import frameworks
from keras_spp.compensation.compensate import compensated
from keras_spp.compensation.samples import gathered
from keras_spp.compensation.wanted import Recorded
from tests.helpers.calibrated import calibrate
from tests.helpers.random_weights import shrunk_at_random
from tests.helpers.slow import slow_but
from tests.zoo.models import inputs_for, random_model


def plan(model, ratio):
    return shrunk_at_random(spp.prune(model, pruning_ratio=ratio, round_to=1))


def weights(model, original, batches, recorded=None):
    compensated(model, original, batches, rows=500, recorded=recorded)
    return model.get_weights()


@pytest.mark.parametrize("enough", [True, False])
@pytest.mark.parametrize("seed", slow_but(range(12), range(2)))
def test_a_plan_comes_out_the_same_whether_or_not_others_were_tried_before(
    seed, enough, monkeypatch
):
    model = random_model(seed)
    x = np.concatenate([inputs_for(model, seed, 64)[0] for seed in range(2)])
    calibrate(model, x)
    framework = frameworks.of(model)
    batches = gathered(framework, model, x, 100)
    recorded = Recorded() if enough else Recorded(most=1000)
    weights(plan(model, 0.3), model, batches, recorded)
    assert recorded.complete == enough, seed

    small, again = plan(model, 0.5), plan(model, 0.5)
    again.set_weights(small.get_weights())
    runs = []
    run = framework.Lockstep._call

    def call(lockstep, at, tensors):
        runs.append(sum(map(bool, tensors)))
        return run(lockstep, at, tensors)

    monkeypatch.setattr(framework.Lockstep, "_call", call)
    remembered = weights(small, model, batches, recorded)
    assert set(runs) == {1 if enough else 2}, "whether the original ran"
    for one, two in zip(remembered, weights(again, model, batches), strict=True):
        np.testing.assert_array_equal(one, two, f"seed {seed}")
