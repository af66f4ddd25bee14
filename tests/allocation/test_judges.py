import functools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import keras_spp as spp
from tests.helpers.judged import data, goals, net
from tests.helpers.slow import slow_but
from tests.zoo.models import L, randomize


def few_trials():
    """A search that ends soon: by default it tries 128 plans."""
    return spp.Search(trials=20)


JUDGES = pytest.mark.parametrize("judge", [few_trials, spp.Fisher], ids=["Search", "Fisher"])


@JUDGES
@pytest.mark.parametrize("quiet", slow_but(["first", "second", "third"], ["second"]))
def test_the_layer_whose_channels_matter_least_is_pruned_most(quiet, judge):
    pruned = spp.prune(
        net(quiet),
        target_speedup=1.2,
        round_to=1,
        allocation=judge(),
        representative_data=data(),
        seed=3,
    )
    found = goals(pruned)
    assert found[quiet] == max(found.values()) > 0
    assert sum(found.values()) - found[quiet] <= found[quiet]


def test_the_default_for_a_target_with_data_is_a_search_and_only_there(monkeypatch):
    fewer = functools.partialmethod(spp.Search.__init__, trials=16)  # it takes long otherwise
    monkeypatch.setattr(spp.Search, "__init__", fewer)

    def plan(**options):
        return goals(spp.prune(net(), round_to=1, **options))

    speedup, x = {"target_speedup": 1.5}, {"representative_data": data()}
    found, uniform = plan(**speedup, **x), plan(**speedup)
    assert found == plan(**speedup, **x, allocation=spp.Search()) != uniform
    assert plan(**speedup, **x, allocation=spp.Uniform()) == uniform
    assert plan(pruning_ratio=0.5, **x) == plan(pruning_ratio=0.5)


@JUDGES
def test_a_pruning_ratio_is_the_share_of_all_groups(judge):
    pruned = spp.prune(net(), 0.5, round_to=1, allocation=judge(), representative_data=data())
    found = goals(pruned)
    assert len(set(found.values())) > 1
    assert sum(found.values()) == pytest.approx(0.5 * 16 * len(found), abs=len(found))


@JUDGES
def test_several_inputs_may_come_as_a_dict(judge):
    x = {"a": keras.Input((4,), name="a"), "b": keras.Input((3,), name="b")}
    y = L.Dense(8, name="first")(L.Concatenate()([L.Dense(8)(each) for each in x.values()]))
    model = randomize(keras.Model(x, L.Dense(5)(y)))
    random = np.random.default_rng(0)
    inputs = {
        name: random.normal(size=(16, n)).astype("float32") for name, n in (("a", 4), ("b", 3))
    }
    samples = tf.data.Dataset.from_tensor_slices(inputs).batch(8)
    pruned = spp.prune(
        model, target_speedup=1.5, round_to=1, allocation=judge(), representative_data=samples
    )
    assert sum(goals(pruned).values()) > 0


@JUDGES
def test_a_batch_size_that_the_model_fixes_is_kept(judge):
    x = keras.Input((4,), batch_size=6)
    y = tf.reshape(L.Dense(8)(x), [6, 8])
    model = randomize(keras.Model(x, L.Dense(2)(y)))
    random = np.random.default_rng(0)
    options = {"target_speedup": 1.2, "round_to": 1, "allocation": judge()}
    for size in (6, 20):
        pruned = spp.prune(model, representative_data=random.normal(size=(size, 4)), **options)
        assert sum(goals(pruned).values()) > 0
    with pytest.raises(ValueError, match="must hold batches of at least 6 samples"):
        spp.prune(model, representative_data=random.normal(size=(5, 4)), **options)


@pytest.mark.parametrize(("judge", "size"), [(spp.Search, 64), (spp.Fisher, 8)])
def test_samples_that_belong_together_can_be_kept_together(judge, size):
    x = keras.Input((4,))
    y = L.Dense(8)(tf.reshape(tf.reshape(x, [-1, 3, 4]), [-1, 4]))
    model = randomize(keras.Model(x, L.Dense(2)(y)))
    samples = np.random.default_rng(0).normal(size=(1, 90, 4))
    options = {"target_speedup": 1.2, "round_to": 1, "representative_data": iter(samples)}
    with pytest.raises(
        ValueError, match=f"must hold what the model takes, {size} samples at a time, bu"
    ):
        spp.prune(model, allocation=judge(), **options)
    options["representative_data"] = iter(samples)
    pruned = spp.prune(model, allocation=judge(samples=6), **options)
    assert sum(goals(pruned).values()) > 0


def odd(kind):
    """Networks that allocations may not have thought of, and their samples."""
    x = np.random.default_rng(0).normal(size=(32, 4, 3)).astype("float32")
    if kind == "stateful":
        inputs = keras.Input((4, 3), batch_size=8)
        y = L.LSTM(8, stateful=True, return_state=True)(L.Conv1D(16, 1)(inputs))[0]
        return keras.Model(inputs, L.Dense(2)(y)), x
    inputs = keras.Input((4, 3))
    if kind == "repeated":
        y = L.TimeDistributed(L.Dense(8))(L.Conv1D(16, 1)(inputs))
        return keras.Model(inputs, L.Dense(2)(y)), x
    if kind == "shared":
        layer, y = L.Dense(8, "relu"), L.Dense(8)(inputs)
        return keras.Model(inputs, L.Dense(2)(layer(layer(y)))), x
    if kind == "mixed precision":
        y = L.Dense(8, dtype="mixed_float16")(L.Conv1D(16, 1, dtype="mixed_bfloat16")(inputs))
        return keras.Model(inputs, L.Dense(2, "softmax")(y)), x
    y = L.Dense(8)(L.Conv1D(16, 1)(inputs))  # labels beside probabilities
    y = L.Dense(2, "softmax")(y)
    return keras.Model(inputs, [y, L.Lambda(lambda t: tf.argmax(t, -1))(y)]), x


@JUDGES
@pytest.mark.parametrize(
    "kind", ["stateful", "repeated", "shared", "mixed precision", "labels too"]
)
def test_any_network_is_judged_and_left_as_it_was(kind, judge):
    model, x = odd(kind)
    randomize(model)
    before = [weight.numpy() for weight in model.variables]
    options = {"target_speedup": 1.3, "round_to": 1, "representative_data": x}
    found = goals(spp.prune(model, allocation=judge(), **options))
    assert sum(found.values()) > 0
    for old, weight in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(old, weight)
    if kind == "stateful":  # which Keras refuses there
        return
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        assert goals(spp.prune(model, allocation=judge(), **options)) == found
