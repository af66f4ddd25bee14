"""Scores that are computed once, from samples."""

import numpy as np
import pytest

import keras_spp as spp
from keras_spp import frameworks
from keras_spp.compensation import choice
from keras_spp.compensation.samples import gathered
from keras_spp.pruning.network import label
from keras_spp.pruning.order import by_data, by_norms
from tests.helpers.both_keras import L, array, keras
from tests.helpers.training import compiled, conv_net, data, fit

pytestmark = pytest.mark.usefixtures("keras")

IMAGES = data(16, seed=1)[0]
BY_DATA = {"representative_data": IMAGES, "round_to": 1}


def network(granularity="channel"):
    model = conv_net()
    batches = gathered(frameworks.of(model), model, IMAGES, 1024)
    return label(model, granularity, scores=by_data(batches))


@pytest.mark.parametrize(
    ("granularity", "schedule"),
    [
        ("channel", spp.SPPSchedule),
        ("column", spp.OneShotSchedule),
        pytest.param("channel", spp.OneShotSchedule, marks=pytest.mark.slow),
        pytest.param("column", spp.SPPSchedule, marks=pytest.mark.slow),
    ],
)
def test_reconstruction_prunes_what_others_can_make_up_for(granularity, schedule):
    schedule = schedule(score="reconstruction")
    pruned = spp.prune(conv_net(), 0.5, granularity=granularity, schedule=schedule, **BY_DATA)
    fit(compiled(pruned), 400)
    pruner = spp.Pruner(pruned)
    assert pruner.progress().finished
    ends = np.cumsum(np.bincount(pruner.sets.of_group))[:-1]
    gone = dict(zip(pruner.names, np.split(array(pruner.probabilities()) >= 1, ends), strict=True))
    groups = network(granularity).groups
    goals = [int(gone[entry.name].sum()) for entry in groups.sets]
    kept = groups.kept(np.array(goals), groups.scores)
    by_norm = groups.kept(np.array(goals), by_norms(network().model, groups))
    for name, left in kept.items():
        np.testing.assert_array_equal(left, ~gone[name], name)
    assert any((kept[name] != by_norm[name]).any() for name in kept)


def test_groups_that_no_kernel_tells_of_go_by_norms():
    x = keras.Input((5, 6))
    y = L.LSTM(4)(L.Embedding(9, 8)(L.Flatten()(x)))
    model = keras.Model(x, L.Dense(3)(L.Reshape((4,))(y)))
    words = np.random.default_rng(0).integers(0, 9, (32, 5, 6))
    framework = frameworks.of(model)
    batches = gathered(framework, model, words, 1024)
    told = label(model, scores=by_data(batches))
    norms = by_norms(told.model, told.groups)
    known = choice.importance(framework, told.model, told.groups, batches)
    assert known and set(norms) - set(known)
    for name, values in told.groups.scores.items():
        np.testing.assert_array_equal(values, known.get(name, norms[name]), name)


@pytest.mark.filterwarnings("ignore:SPP will not reach", "ignore:SPP has not met")
def test_a_loaded_model_goes_on_by_the_same_order(tmp_path):
    schedule = spp.SPPSchedule(A=0.3, frequency=2, score="reconstruction", score_decay=0.9)
    pruned = compiled(spp.prune(conv_net(), 0.5, schedule=schedule, **BY_DATA))
    fit(pruned, 9)
    pruned.save(tmp_path / "model.keras")
    loaded = spp.load_model(tmp_path / "model.keras")
    for model in (pruned, loaded):
        fit(model, 40, start=9)
        assert spp.Pruner(model).progress().finished
    for one, other in zip(pruned.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(array(one), array(other), one.name)


@pytest.mark.parametrize(
    "samples, error, words",
    [
        (None, ValueError, "`representative_data` must be given for the score 'reconstruction'"),
        (IMAGES[:5], ValueError, "at least 16 samples"),
        (np.full_like(IMAGES, np.inf), ValueError, "NaN or infinity"),
        (3, TypeError, "`representative_data`"),
    ],
)
def test_a_score_by_data_without_such_data_is_refused(samples, error, words):
    schedule = spp.SPPSchedule(score="reconstruction")
    with pytest.raises(error, match=words):
        spp.prune(conv_net(), 0.5, schedule=schedule, representative_data=samples)
