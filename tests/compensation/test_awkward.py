"""Compensation on every awkward model, pruned and shrunk."""

import numpy as np
import pytest
import tensorflow as tf

import keras_spp as spp
from tests.helpers.slow import slow_but
from tests.zoo.awkward import MODELS, randomized, sample
from tests.zoo.models import random_probabilities
from tests.zoo.test_awkward import PRUNABLE

# Activations with weights, statistics of the batch in inference, shared layers, an opened function,
# a kernel that is not what it seems.
QUICK = {
    "activations_as_layers_and_functions", "batch_statistics_in_inference", "lambda_in_the_middle",
    "siamese", "weight_standardisation",
}  # fmt: skip


def values(model):
    return {variable.name: variable.numpy() for variable in model.variables}


@pytest.mark.parametrize("name", slow_but(PRUNABLE, QUICK))
def test_every_layer_comes_closer_and_nothing_else_changes(name):
    model = randomized(MODELS[name]())
    batches = [sample(model, seed) for seed in range(max(8, 32 // (model.inputs[0].shape[0] or 4)))]
    before = values(model)

    whole = spp.prune(model, pruning_ratio=0.0, round_to=1)
    kept = values(whole)
    _, report = spp.compensate(whole, model, batches, return_report=True)
    assert all(row.before in (None, 0.0) for row in report)
    for variable, value in values(whole).items():
        np.testing.assert_array_equal(value, kept[variable], variable)

    pruned = spp.prune(model, pruning_ratio=0.5, round_to=1)
    random_probabilities(pruned, settled=True)
    small = spp.shrink(pruned)
    _, of_small = spp.compensate(small, model, batches, return_report=True)
    _, of_pruned = spp.compensate(pruned, model, batches, return_report=True)
    for report in (of_small, of_pruned):
        for row in report:
            assert (row.before is None) == (row.reason is not None), row
            assert row.reason or row.after <= row.before * (1 + 1e-6) + 1e-9, row
    again = spp.shrink(pruned)
    assert [weight.shape for weight in again.weights] == [weight.shape for weight in small.weights]
    for output in tf.nest.flatten(small(batches[0], training=False)):
        assert np.isfinite(output).all()
    for variable, value in values(model).items():
        np.testing.assert_array_equal(value, before[variable], variable)
