import json

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import keras_spp as spp
from keras_spp.allocation import sensitivity
from keras_spp.core.groups import Groups
from keras_spp.frameworks.tf_keras.tracing import find_channels
from tests.helpers.judged import LOSS, data, goals, net
from tests.helpers.slow import slow_but
from tests.zoo.models import L, randomize


@pytest.mark.parametrize("quiet", slow_but(["first", "second", "third"], ["second"]))
@pytest.mark.parametrize("loss", [None, LOSS, "sparse_categorical_crossentropy"])
def test_the_layer_whose_channels_matter_least_is_pruned_most(quiet, loss):
    model = net(quiet)
    if isinstance(loss, str):
        model = keras.Model(model.input, L.Softmax()(model.output))
    pruned = spp.prune(
        model,
        target_speedup=1.2,
        round_to=1,
        allocation=spp.Sensitivity(loss),
        representative_data=data(None if loss is None else model),
    )
    found = goals(pruned)
    assert found[quiet] == max(found.values()) > 0
    assert sum(found.values()) - found[quiet] <= found[quiet]


@pytest.mark.parametrize("granularity", ["channel", "column"])
def test_any_target_in_reach_is_met(granularity):
    allocation = spp.Sensitivity(batches=1, points=4)
    for speedup in (1.1, 2, 6):
        pruned = spp.prune(
            net(),
            target_speedup=speedup,
            round_to=1,
            granularity=granularity,
            allocation=allocation,
            representative_data=data(),
        )
        pruner = spp.Pruner(pruned)
        p = np.zeros(len(pruner.probabilities()))
        for number, goal in enumerate(pruner.sets.goal):
            p[np.flatnonzero(pruner.sets.of_group == number)[:goal]] = 1
        pruner.set_probabilities(p)
        assert pruner.progress().macs_speedup >= speedup


def measured(model=None, loss=None, granularity="channel", **options):
    groups = Groups(find_channels(model := model or net()), granularity)
    allocation = spp.Sensitivity(loss, **options)
    allocation.prepare(model, groups, data(None if loss is None else model))
    return allocation, groups


def test_the_rise_of_the_loss_is_that_of_the_model_with_one_set_pruned(tmp_path):
    model = net()
    measured(model, LOSS, points=4, batches=4, cache=tmp_path / "cache.json")
    (rises,) = json.loads((tmp_path / "cache.json").read_text()).values()
    x, y = (np.concatenate(parts) for parts in zip(*data(model), strict=True))
    before = float(LOSS(y, model(x)))
    kernel = model.get_layer("third").kernel
    original = kernel.numpy()
    order = np.abs(original).sum((0, 1, 3)).argsort()
    for share, rise in zip((4, 8, 12, 16), rises["second"], strict=True):
        weights = original.copy()
        weights[:, :, order[:share]] = 0
        kernel.assign(weights)
        np.testing.assert_allclose(rise, float(LOSS(y, model(x))) - before, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("granularity", ["channel", "column"])
def test_ratios_rise_with_the_strength_from_nothing_to_everything(granularity):
    allocation, groups = measured(granularity=granularity)
    rows = [allocation.ratios(groups.sets, s) for s in np.linspace(0, 1, 21)]
    np.testing.assert_allclose(rows[0], 0)
    np.testing.assert_allclose(rows[-1], 1)
    assert (np.diff(rows, axis=0) >= -1e-9).all()


def test_the_cache_spares_measuring_again_only_for_the_same_question(tmp_path, monkeypatch):
    model, cache, calls = net(), tmp_path / "cache.json", []
    rise = sensitivity._Measured._rise
    monkeypatch.setattr(
        sensitivity._Measured, "_rise", lambda *args: calls.append(args) or rise(*args)
    )

    def count(model=model, **options):
        calls.clear()
        allocation, groups = measured(model, cache=cache, **options)
        return len(calls), allocation.ratios(groups.sets, 0.4)

    full, ratios = count(points=3)
    assert full == 3 * 4
    assert count(points=3) == (0, ratios)
    assert count(points=4)[0] == 16 and count(points=3, granularity="column")[0] == 12
    assert count(points=3, loss=LOSS)[0] == full
    changed = net()
    changed.get_layer("last").kernel.assign(changed.get_layer("last").kernel * 1.01)
    assert count(changed, points=3)[0] == full
    same_weights = keras.models.clone_model(
        model,
        clone_function=lambda layer: type(layer).from_config(
            {**layer.get_config(), "activation": "tanh"}
            if "last" in layer.name
            else layer.get_config()
        ),
    )
    same_weights.set_weights(model.get_weights())
    assert count(same_weights, points=3)[0] == full
    for factor in (1, 2):  # functions of one name
        assert count(points=3, loss=lambda y, out, by=factor: by * LOSS(y, out))[0] == full
    assert count(points=3)[0] == 0  # the others did not drive it out

    content = json.loads(cache.read_text())
    next(iter(content.values())).pop("second")  # as after an interruption
    cache.write_text(json.dumps(content))
    assert count(points=3) == (3, ratios)


def test_what_is_not_finite_is_refused():
    model = keras.Sequential([keras.Input((4,)), L.Dense(8), L.Dense(2)])
    x = np.full((16, 4), np.nan, np.float32)
    with pytest.raises(ValueError, match=r"gives the dense model a loss of nan"):
        spp.prune(model, 0.5, round_to=1, allocation=spp.Sensitivity(), representative_data=x)


@pytest.mark.parametrize("loss", [None, LOSS])
def test_several_inputs_may_come_as_a_tuple(loss):
    x = [keras.Input((4,)), keras.Input((3,))]
    y = L.Dense(8, name="first")(L.Concatenate()([L.Dense(8)(each) for each in x]))
    model = randomize(keras.Model(x, L.Dense(5)(y)))
    inputs = tuple(np.random.default_rng(0).normal(size=(16, n)).astype("float32") for n in (4, 3))
    data = tf.data.Dataset.from_tensor_slices((inputs, np.arange(16) % 5)).batch(8)
    allocation = spp.Sensitivity(loss, points=2)
    pruned = spp.prune(model, 0.5, round_to=1, allocation=allocation, representative_data=data)
    assert sum(goals(pruned).values()) > 0


def rises(model, loss, batches, tmp_path):
    """What each set costs, by name."""
    cache = tmp_path / f"{len(list(tmp_path.iterdir()))}.json"
    groups = Groups(find_channels(model), "channel")
    spp.Sensitivity(loss, points=2, cache=cache).prepare(model, groups, batches)
    (found,) = json.loads(cache.read_text()).values()
    return found


def test_losses_are_those_of_fit(tmp_path):
    """Targets without the axis of a single output, sample weights, and several outputs."""
    x = keras.Input((4,))
    y = L.Dense(8, activation="relu")(L.Dense(8)(x))
    outputs = [L.Dense(1, name="one")(y), L.Dense(3, name="three")(y)]
    both = randomize(keras.Model(x, outputs))
    single = keras.Model(x, outputs[0])
    random = np.random.default_rng(0)
    inputs = random.normal(size=(16, 4)).astype("float32")
    target, classes = random.normal(size=16).astype("float32"), np.arange(16) % 3

    expected = rises(single, "mse", [(inputs, target[:, None])], tmp_path)
    assert all(map(any, expected.values()))
    assert rises(single, "mse", [(inputs, target)], tmp_path) == expected

    weights = (np.arange(16) < 8).astype("float32")
    halved = rises(single, "mse", [(inputs[:8], target[:8])], tmp_path)
    weighted = rises(single, "mse", [(inputs, target, 2 * weights)], tmp_path)
    for name, values in halved.items():
        np.testing.assert_allclose(weighted[name], values, rtol=1e-5)

    other = rises(keras.Model(x, outputs[1]), LOSS, [(inputs, classes)], tmp_path)
    for loss, targets in (
        (["mse", LOSS], (target, classes)),
        ({"one": "mse", "three": LOSS}, {"one": target, "three": classes}),
    ):
        for name, values in rises(both, loss, [(inputs, targets)], tmp_path).items():
            # With all of a set gone: which half goes first depends on who reads it.
            each = expected[name][-1] + other[name][-1]
            np.testing.assert_allclose(values[-1], each, rtol=1e-4, atol=1e-6)


def test_the_model_is_left_as_it_was():
    model = net()
    before = [weight.numpy() for weight in model.weights]
    measured(model)
    for old, weight in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(old, weight)


def test_what_is_wrong_is_said(tmp_path):
    with pytest.raises(ValueError, match="`batches` must be an integer of at least 1 but is 0"):
        spp.Sensitivity(batches=0)
    with pytest.raises(ValueError, match="`points` must be an integer of at least 2 but is 1"):
        spp.Sensitivity(points=1)
    (tmp_path / "notes.txt").write_text("not ours")
    (tmp_path / "list.json").write_text('{"key": ["a"]}')
    for name in ("notes.txt", "list.json", "", "missing/cache.json"):
        with pytest.raises(ValueError, match=r"`cache`"):
            measured(cache=tmp_path / name)
    assert (tmp_path / "notes.txt").read_text() == "not ours"
    model = net()
    options = {"target_speedup": 1.5, "round_to": 1}
    with pytest.raises(TypeError, match="`representative_data` must be a"):
        spp.prune(model, allocation=spp.Sensitivity(), **options)
    with pytest.raises(ValueError, match="must yield \\(inputs, targets\\) but yields no targets"):
        spp.prune(
            model,
            allocation=spp.Sensitivity(LOSS),
            representative_data=data(),
            **options,
        )
