"""NaN and infinity: pruning stops, with the layer and the step, before it decides on them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import keras_spp as spp
from tests.helpers.sentences import assert_one_sentence
from tests.helpers.slow import slow_but
from tests.helpers.states import assert_same_state
from tests.helpers.training import (
    compiled,
    data,
    dense_net,
    fit_dense,
    plain_net,
    prune,
    samples,
    sgd,
)
from tests.zoo.models import L, randomize

pytestmark = pytest.mark.filterwarnings("ignore:SPP has not met", "ignore:SPP will not reach")


def decided(pruned):
    """What an update decides: probabilities, masks, scores, and how many there were."""
    pruner = spp.Pruner(pruned)
    kept = {"p", "mask", "score"}
    values = [(v.name, v.numpy()) for w in pruner.wrappers for v in (w.p, w.mask, w.score)]
    assert {name.split("/")[-1].split(":")[0] for name, _ in values} == kept
    counters = (pruner.conductor.updates_made, pruner.conductor.finished)
    return [*values, *((v.name, v.numpy()) for v in counters)]


class Spoil(keras.callbacks.Callback):
    """Puts a value into one weight of a layer after a step, and remembers what was decided."""

    def __init__(self, step, layer, value):
        super().__init__()
        self.step, self.layer, self.value = step, layer, value

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations.numpy()) >= self.step:
            self.step = 10**9
            weight = self.model.get_layer(self.layer).trainable_weights[0]
            array = weight.numpy()
            array.flat[0] = self.value
            weight.assign(array)
            self.before = decided(self.model)


def stopped(pruned, steps, callbacks=()):
    """Trains until pruning stops; (step, layer) of the sentence that says so."""
    with pytest.raises(FloatingPointError) as error:
        fit_dense(pruned, steps, [*callbacks, spp.SPPCallback()])
    found = re.match(
        r"SPP stopped at step (\d+), before an update of the pruning probabilities: the weights or "
        r"scores of layer '(\w+)' hold NaN or infinity; go back",
        assert_one_sentence(error),
    )
    assert found, error.value
    return int(found[1]), found[2]


# -- in weights ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "value", "options"),
    [
        ("a", np.nan, {}),
        ("b", np.inf, {"jit_compile": True}),
        ("c", -np.inf, {"run_eagerly": True}),
        ("a", np.nan, {"steps_per_execution": 4}),
    ],
)
def test_the_update_that_meets_a_bad_weight_decides_nothing_and_names_its_layer(
    layer, value, options
):
    """Also one that is not masked; a step later what is broken has spread over all layers."""
    pruned = compiled(prune(dense_net(), frequency=4), **options)
    spoil = Spoil(8, layer, value)
    assert stopped(pruned, 24, [spoil]) == (8, layer)
    assert int(spp.Pruner(pruned).conductor.updates_made) == 1  # of step 4
    assert_same_state(spoil.before, decided(pruned))


def test_weights_that_are_bad_already_are_refused_before_the_first_step_and_sound_ones_go_on():
    pruned = compiled(prune(dense_net()))
    sound = pruned.get_weights()
    assert stopped(pruned, 9, [Spoil(5, "b", np.nan)]) == (5, "b")
    with pytest.raises(FloatingPointError, match="SPP cannot go on at step 6: the weights of") as e:
        fit_dense(pruned, 5)
    assert_one_sentence(e)
    record = spp.Pruner(pruned).conductor.fault
    for weight, value in zip(pruned.weights, sound, strict=True):
        if weight is not record:  # not a checkpoint, which would hold an empty record
            weight.assign(value)
    # Momenta are NaN too, even where the momentum is 0.
    assert fit_dense(compiled(pruned), 40).history["groups_decided"] == [1.0]


def test_a_record_is_saved_with_the_model(tmp_path):
    pruned = compiled(prune(dense_net()))
    stopped(pruned, 9, [Spoil(5, "b", np.nan)])
    pruned.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    with pytest.raises(FloatingPointError, match=r"SPP stopped at step 5, .* layer 'b'"):
        spp.shrink(loaded)


def test_without_the_callback_and_in_a_loop_of_ones_own_nothing_is_decided_and_it_is_told():
    pruned = compiled(prune(dense_net()))
    spoil = Spoil(5, "c", np.nan)
    fit_dense(pruned, 12, [spoil])
    assert_same_state(spoil.before, decided(pruned))
    pruner = spp.Pruner(pruned)
    for look in (pruner.progress, pruner.finish_if_reached, lambda: spp.shrink(pruned)):
        with pytest.raises(FloatingPointError, match=r"SPP stopped at step 5, .* layer 'c'"):
            look()


REPLICAS = """
import numpy as np, tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
from test_faults import Spoil, stopped
from training import compiled, dense_net, prune
import keras_spp as spp
from keras_spp.frameworks.tf_keras.variables import copies

with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    pruned = compiled(prune(dense_net(), frequency=4))
assert stopped(pruned, 24, [Spoil(8, "c", np.nan)]) == (8, "c")
conductor = spp.Pruner(pruned).conductor
for variable in (conductor.fault, conductor.p, conductor.updates_made):
    found = [copy.numpy().tolist() for copy in copies(variable)]
    assert len(found) == 2 and found[0] == found[1], variable.name
"""


@pytest.mark.slow
def test_replicas_stop_together():
    run = subprocess.run(
        [sys.executable, "-c", REPLICAS],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr[-3000:]


# -- in data and gradients -----------------------------------------------------------------------


def pooled_net():
    """A maximum over positions drops NaN, so that layers behind it can look sound."""
    x = inputs = keras.Input((6, 6, 3))
    x = L.MaxPooling2D(6)(L.Conv2D(8, 1, name="stem")(x))
    return randomize(keras.Model(inputs, L.Dense(4, name="head")(L.Flatten()(x))))


@pytest.mark.parametrize(
    ("net", "score", "value"),
    [
        (dense_net, "taylor", np.nan),
        (dense_net, "l1", np.inf),
        (pooled_net, "l1", np.nan),
        (pooled_net, "taylor", np.inf),
    ],
)
def test_a_bad_sample_stops_pruning_at_the_next_update(net, score, value):
    pruned = compiled(prune(net(), score=score))
    x, y = samples(count=40) if net is dense_net else data(10)
    x[4 * 6].flat[0] = value  # in the batch of step 6
    with pytest.raises(FloatingPointError, match="SPP stopped at step 7, before") as error:
        pruned.fit(x, y, 4, shuffle=False, verbose=0, callbacks=[spp.SPPCallback()])
    assert_one_sentence(error)
    assert int(spp.Pruner(pruned).conductor.updates_made) == 6


@pytest.mark.parametrize("score", slow_but(["l1", "taylor"], ["taylor"]))
def test_losses_that_overflow_now_and_then_under_loss_scaling_stop_nothing(score):
    policy = keras.mixed_precision.Policy("mixed_float16")
    model = keras.Sequential([keras.Input((4,)), L.Dense(8, dtype=policy), L.Dense(4)])
    scaled = keras.mixed_precision.LossScaleOptimizer(
        sgd(), initial_scale=2.0**20, dynamic_growth_steps=2
    )
    pruned = compiled(prune(randomize(model), score=score), scaled)
    scales = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            scales.append(float(scaled.loss_scale))

    x = np.random.default_rng(0).normal(size=(160, 4)).astype("float32")
    pruned.fit(x, x, 4, verbose=0, callbacks=[spp.SPPCallback(), Watch()])
    assert spp.Pruner(pruned).progress().finished
    assert (np.diff(scales) < 0).sum() > 5, "steps should have been skipped"


def test_a_score_of_ones_own_that_is_not_finite():
    model = keras.Sequential([keras.Input((4,)), L.Dense(8), L.Dense(4, name="head")])
    pruned = compiled(prune(randomize(model), score=lambda weight: tf.math.log(weight)))
    x, y = np.ones((40, 4)), np.ones((40, 4))
    with pytest.raises(FloatingPointError, match="weights or scores of layer 'head' hold NaN"):
        pruned.fit(x, y, 4, verbose=0, callbacks=[spp.SPPCallback()])


@pytest.mark.parametrize("value", slow_but([np.nan, np.inf], [np.nan]))
def test_pca_says_when_data_give_numbers_that_are_not_finite(value):
    x = data(4)[0]
    x[3, 2, 2, 1] = value
    options = {"allocation": spp.PCA(), "representative_data": x}
    with pytest.raises(
        ValueError, match="gives NaN or infinity in the outputs of layer 'stem'"
    ) as e:
        spp.prune(plain_net(), target_speedup=1.5, round_to=1, **options)
    assert_one_sentence(e)


# -- nothing to tell groups apart by -------------------------------------------------------------


@pytest.mark.parametrize("score", slow_but(["l2", "taylor"], ["taylor"]))
def test_layers_of_zeros_are_pruned_in_the_order_of_their_groups(score):
    model = dense_net()
    for layer in model.layers[1:]:
        layer.kernel.assign(layer.kernel * 0)
    pruned = compiled(prune(model, score=score), sgd(0.0))
    assert fit_dense(pruned, 30).history["groups_decided"] == [1.0]
    expected = [1.0] * 5 + [0.0] * 5 + [1.0] * 3 + [0.0] * 3
    assert spp.Pruner(pruned).probabilities().numpy().tolist() == expected
    assert [layer.units for layer in spp.shrink(pruned).layers] == [5, 3, 2]


@pytest.mark.parametrize("allocation", [spp.PCA(), spp.Sensitivity(points=2), spp.Uniform()])
def test_a_layer_of_zeros_can_be_judged(allocation):
    model = plain_net()
    kernel = model.get_layer("inner").kernel
    kernel.assign(kernel * 0)
    pruned = spp.prune(
        model, target_speedup=1.5, allocation=allocation, representative_data=data(2)[0], round_to=1
    )
    assert spp.Pruner(pruned).sets.goal.sum() > 0


@pytest.mark.parametrize(
    ("ratio", "spared"),
    [(0.01, "['stem', 'inner', 'last']"), ({"last": 0.5, "stem": 0.5}, "['last']")],
)
def test_a_ratio_that_is_rounded_to_nothing_is_said(ratio, spared):
    with pytest.warns(UserWarning, match=re.escape(f"comes to no channel or column of {spared}")):
        pruned = compiled(spp.prune(plain_net(), ratio, schedule=spp.SPPSchedule(frequency=1)))
    goals = spp.Pruner(pruned).sets.goal.tolist()
    assert goals == ([0, 0, 0] if ratio == 0.01 else [8, 0, 0])


def test_sets_with_fewer_groups_than_round_to_or_one_alone_stay_whole():
    widths = {"wide": 32, "narrow": 4, "one": 1}
    layers = [L.Dense(units, "tanh", name=name) for name, units in widths.items()]
    model = randomize(keras.Sequential([keras.Input((4,)), *layers, L.Dense(4)]))
    schedule = spp.SPPSchedule(A=0.5, frequency=1)
    pruned = compiled(spp.prune(model, 0.5, schedule=schedule))
    pruner = spp.Pruner(pruned)
    goals = dict(zip(pruner.names, pruner.sets.goal.tolist(), strict=True))
    assert goals == {"wide": 16, "narrow": 0}
    x = np.random.default_rng(0).normal(size=(160, 4)).astype("float32")
    pruned.fit(x, x, 4, verbose=0, callbacks=[spp.SPPCallback()])
    assert pruner.progress().finished
    assert [layer.units for layer in spp.shrink(pruned).layers] == [16, 4, 1, 4]
