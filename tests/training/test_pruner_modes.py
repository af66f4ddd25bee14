"""The pruner in graphs, eagerly, under XLA, and in training loops of one's own."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import keras_spp as spp
from tests.helpers.slow import slow_but
from tests.helpers.states import assert_same_state
from tests.helpers.training import (
    compiled,
    data,
    fit,
    plain_net,
    predicted_mask,
    prune,
    sgd,
    state,
    train_step,
    updates_made,
)
from tests.zoo.models import L, randomize

pytestmark = pytest.mark.filterwarnings("ignore:SPP has not met", "ignore:SPP will not reach")


def trained(steps=12, **options):
    """Weights and pruner of one short run; two groups of threads would reorder float sums."""
    pruned = compiled(prune(), keras.optimizers.SGD(0.02, momentum=0.9), **options)
    fit(pruned, steps)
    return pruned


@pytest.fixture(scope="module")
def graph():
    """The run to compare with."""
    keras.backend.clear_session()
    pruned = trained()
    return state(pruned), spp.Pruner(pruned).probabilities().numpy()


@pytest.mark.parametrize("options", [{"run_eagerly": True}, {"jit_compile": True}], ids=str)
def test_eager_and_xla_prune_like_the_graph(options, graph):
    pruned = trained(**options)
    expected, p = graph
    found = spp.Pruner(pruned).probabilities().numpy()
    np.testing.assert_allclose(found, p, atol=1e-6)
    np.testing.assert_array_equal(found >= 1, p >= 1)
    assert (p >= 1).any()
    assert_same_state(expected, state(pruned), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("steps", slow_but([4, 8], [4]))
def test_several_steps_per_execution_change_no_bit(steps, graph):
    assert_same_state(graph[0], state(trained(steps_per_execution=steps)))


@pytest.mark.parametrize("mode", ["eager", "graph", "xla"])
def test_the_mask_of_a_step_is_the_formula_in_every_mode(mode):
    pruned = prune()
    optimizer = sgd()
    pruner = spp.Pruner(pruned, optimizer)
    pruner.set_probabilities(np.random.default_rng(0).uniform(0, 0.9, 36))
    wrapper = pruner.conductor
    (masked,) = wrapper.masked
    sampled = wrapper.sampled
    if mode != "eager":
        sampled = tf.function(sampled, jit_compile=mode == "xla")
    for step in (0, 1, 10**9):
        optimizer.iterations.assign(step)
        mask = np.broadcast_to(masked.spread(sampled()), masked.weight.shape) > 0
        np.testing.assert_array_equal(mask, predicted_mask(wrapper, step), f"{mode}, step {step}")


# -- calls within one step -----------------------------------------------------------------------


def test_a_layer_that_is_called_twice_in_a_step_is_updated_once():
    x = inputs = keras.Input((6, 6, 8))
    x = L.Conv2D(8, 3, padding="same", name="stem")(x)
    shared = L.Conv2D(8, 3, padding="same", activation="relu", name="shared")
    x = L.GlobalAveragePooling2D()(shared(shared(x)))
    pruned = compiled(prune(randomize(keras.Model(inputs, L.Dense(4)(x)))), run_eagerly=True)
    assert spp.Pruner(pruned).conductor.layer.name == "shared"
    x, y = np.ones((4, 6, 6, 8), np.float32), np.ones((4, 4), np.float32)
    for step in range(5):
        assert updates_made(spp.Pruner(pruned)) == max(step - 1, 0)
        pruned.train_on_batch(x, y)


def test_gradient_accumulation_keeps_one_mask_per_step_and_updates_once():
    pruned, whole = prune(plain_net()), prune(plain_net())
    accumulated, at_once = sgd(0.02), sgd(0.02)
    pruner, _ = spp.Pruner(pruned, accumulated), spp.Pruner(whole, at_once)
    x, y = data(12)

    def loss_gradients(model, x, y):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(x, training=True) - y) ** 2)
        return tape.gradient(loss, model.trainable_variables)

    for step in range(8):
        batch = slice(4 * step, 4 * step + 4)
        halves = [
            loss_gradients(pruned, a, b)
            for a, b in zip(np.split(x[batch], 2), np.split(y[batch], 2), strict=True)
        ]
        assert updates_made(pruner) == step
        mean = [(a + b) / 2 for a, b in zip(*halves, strict=True)]
        accumulated.apply_gradients(zip(mean, pruned.trainable_variables, strict=True))
        gradients = loss_gradients(whole, x[batch], y[batch])
        at_once.apply_gradients(zip(gradients, whole.trainable_variables, strict=True))
    assert pruner.progress().pruned > 0
    np.testing.assert_array_equal(
        pruner.probabilities() >= 1, spp.Pruner(whole).probabilities() >= 1
    )
    assert_same_state(
        state(whole, optimizer=False), state(pruned, optimizer=False), rtol=1e-3, atol=1e-5
    )


# -- loops without fit ---------------------------------------------------------------------------


@pytest.mark.parametrize("compiled_step", [False, True])
def test_a_training_loop_of_ones_own_prunes_like_fit(compiled_step):
    pruned, optimizer = prune(plain_net()), sgd(0.02)
    pruner = spp.Pruner(pruned, optimizer)
    pruner.plan(steps=30)
    step = tf.function(train_step) if compiled_step else train_step
    x, y = data(30)
    for at in range(30):
        step(pruned, optimizer, x[4 * at : 4 * at + 4], y[4 * at : 4 * at + 4])
    assert pruner.progress().finished
    fitted = compiled(prune(plain_net()), sgd(0.02))
    fit(fitted, 30)
    expected = spp.Pruner(fitted).progress()
    assert pruner.progress() == expected
    pairs = zip(pruned.trainable_weights, fitted.trainable_weights, strict=True)
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5, err_msg=ours.name)


def test_a_train_step_of_ones_own_in_a_model_class_is_kept():
    class Doubled(keras.Model):
        def train_step(self, batch):
            x, y = batch
            logs = super().train_step((x, 2 * y))
            return {"doubled": logs["loss"]}

    plain = plain_net()
    pruned = compiled(prune(Doubled(plain.input, plain.output)))
    assert isinstance(pruned, Doubled)
    history = fit(pruned, 40).history
    assert "doubled" in history and history["groups_decided"] == [1.0]


# -- the end with columns ------------------------------------------------------------------------
