import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import keras_spp as spp
from keras_spp.allocation import distortion, search
from keras_spp.allocation.distortion import Distortion
from keras_spp.core import goals as allocation
from keras_spp.core.groups import Groups
from keras_spp.frameworks.tf_keras.tracing import find_channels
from keras_spp.util import progress
from tests.helpers.consoles import percentages, terminal
from tests.helpers.judged import data, goals, images, measured, narrow, net
from tests.helpers.slow import slow_but
from tests.zoo.models import L, randomize


def cost(groups, measure, goals):
    """What the search compares: of plans that change as much, the evener one is cheaper."""
    left = [1 - goal / entry.size for entry, goal in zip(groups.sets, goals, strict=True)]
    return measure(goals) / np.exp(search.CARE * np.log(left).mean())


@pytest.mark.parametrize("seed", slow_but(range(12), range(2)))
def test_no_random_plan_is_much_better(seed):
    model, given, random = narrow(seed), images(seed), np.random.default_rng(seed)
    groups, measure = measured(model, given)
    others = []
    for _ in range(100):
        shares = search.Shares(random.uniform(0.1, 1, len(groups.sets)))
        others.append(cost(groups, measure, allocation.meet_speedup(groups, 2.0, shares, 1)))
    found = spp.Search(seed=seed)
    found.prepare(model, groups, given)
    goals = allocation.meet_speedup(groups, 2.0, found, 1)
    assert groups.dense() / groups.cost(goals) >= 2
    assert cost(groups, measure, goals) <= 1.2 * min(others), f"seed {seed}"


def counted(monkeypatch):
    """The changes that are measured from here on."""
    calls, measure = [], Distortion.__call__

    def count(self, goals):
        calls.append(measure(self, goals))
        return calls[-1]

    monkeypatch.setattr(Distortion, "__call__", count)
    return calls


def test_it_is_found_once_and_the_best_plan_is_taken(monkeypatch):
    calls = counted(monkeypatch)
    monkeypatch.setattr(search, "CARE", 0.0)
    model = net()
    groups = Groups(find_channels(model), "channel")
    found = spp.Search(trials=20)
    found.prepare(model, groups, data())
    again = found._measure
    best = allocation.meet_speedup(groups, 1.5, found, 1)
    assert len(calls) == 20
    assert again(best) == min(calls[:20]) < calls[0]
    goals = allocation.meet_speedup(groups, 1.7, found, 1)  # as for a share of the latency
    assert len(calls) == 21 and groups.dense() / groups.cost(goals) >= 1.7
    assert (goals >= best).all()


def test_it_ends_where_there_is_nothing_to_choose(monkeypatch):
    calls = counted(monkeypatch)
    model = randomize(keras.Sequential([keras.Input((4,)), L.Dense(8), L.Dense(2)]))
    x = np.random.default_rng(0).normal(size=(40, 4)).astype("float32")
    pruned = spp.prune(model, target_speedup=2, round_to=1, representative_data=x)
    assert list(goals(pruned).values()) == [4] and len(calls) == 1


def test_outputs_that_overflow_are_no_plan(monkeypatch):
    monkeypatch.setattr(distortion, "change", lambda *_: np.nan)
    options = {"allocation": spp.Search(trials=4), "representative_data": data()}
    pruned = spp.prune(net(), target_speedup=1.5, round_to=1, **options)
    assert sum(goals(pruned).values()) > 0


def test_where_derivatives_say_nothing_it_starts_from_the_uniform_plan():
    x = keras.Input((6,))
    y = tf.round(8 * L.Dense(12, name="b")(L.Dense(12, name="a")(x)))
    model = randomize(keras.Model(x, L.Dense(3, trainable=False)(y)))
    given = {"representative_data": np.random.default_rng(0).normal(size=(64, 6))}
    with pytest.raises(ValueError, match="gives zeros"):
        spp.prune(model, target_speedup=1.3, round_to=1, allocation=spp.Fisher(), **given)
    pruned = spp.prune(model, target_speedup=1.3, round_to=1, **given)
    assert sum(goals(pruned).values()) > 0


def test_one_seed_gives_one_plan():
    options = {"target_speedup": 1.7, "round_to": 1, "representative_data": data()}
    plans = [goals(spp.prune(net(), allocation=spp.Search(trials=24), **options)) for _ in "ab"]
    assert plans[0] == plans[1]


def one_set():
    return randomize(keras.Sequential([keras.Input((8, 8, 3)), L.Conv2D(8, 3), L.Conv2D(2, 3)]))


@pytest.mark.parametrize(
    ("make", "trials", "reached"), [(net, 5, {0, 20, 40, 60, 80, 100}), (one_set, 10, {0, 10, 100})]
)
def test_it_shows_how_many_plans_it_has_tried(make, trials, reached, monkeypatch):
    monkeypatch.setattr(progress, "_PAUSE", 0.0)
    console = terminal()
    options = {"target_speedup": 1.5, "round_to": 1, "representative_data": data()}
    with progress.shown_on(console):
        spp.prune(make(), allocation=spp.Search(trials=trials), **options)
    assert set(percentages(console)) == reached


def test_what_is_wrong_is_said():
    for argument, least in (("samples", 1), ("trials", 2), ("seed", 0), ("verbose", 0)):
        with pytest.raises(
            ValueError, match=f"`{argument}` must be an integer of at least {least}"
        ):
            spp.Search(**{argument: least - 1})
    model = randomize(keras.Sequential([keras.Input((4,)), L.Dense(8), L.Dense(2)]))
    options = {"target_speedup": 1.2, "round_to": 1, "allocation": spp.Search()}
    with pytest.raises(TypeError, match="`representative_data` must be a"):
        spp.prune(model, **options)
    with pytest.raises(ValueError, match="at least one batch but is empty"):
        spp.prune(model, representative_data=[], **options)
    with pytest.raises(ValueError, match="gives NaN or infinity in the outputs"):
        spp.prune(model, representative_data=np.full((8, 4), np.nan, np.float32), **options)
    with pytest.raises(ValueError, match="gives the same outputs for all samples"):
        spp.prune(model, representative_data=np.ones((8, 4), np.float32), **options)
    blind = keras.Model(model.input, L.Lambda(lambda y: tf.argmax(y, -1))(model.output))
    with pytest.raises(ValueError, match="gives the same outputs for all samples"):
        spp.prune(blind, representative_data=np.eye(4, dtype="float32"), **options)
    with pytest.raises(ValueError, match="`target_speedup` is 99 but the largest"):
        spp.prune(
            model,
            representative_data=np.eye(4, dtype="float32"),
            **{**options, "target_speedup": 99},
        )
