"""Training that no step counter follows is told; training that it follows in any way is not."""

import warnings

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import keras_spp as spp
from tests.helpers.sentences import assert_one_sentence  # noqa: F401
from tests.helpers.training import (
    compiled,
    conv_net,
    data,
    dense_net,
    fit,
    fit_dense,
    prune,
    samples,
    sgd,
)
from tests.journeys.test_execution_modes import Accumulating
from tests.journeys.test_optimizers import gradients_of

STEPS = 12


def train(pruned, optimizer, steps=STEPS, passes=1, mode="eager", batch=4):
    """A loop of one's own with several forward passes in each step."""
    variables = pruned.trainable_variables
    optimizer.build(variables) if hasattr(optimizer, "build") else None

    def step(x, y):
        with tf.GradientTape() as tape:
            loss = sum(tf.reduce_mean((pruned(x, training=True) - y) ** 2) for _ in range(passes))
        gradients = tape.gradient(loss, variables)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))

    step = {"eager": step, "graph": tf.function(step), "xla": tf.function(step, jit_compile=True)}[
        mode
    ]
    for number in range(steps):
        step(*map(tf.constant, samples(number, batch)))


def told(call):
    """What a call says of standing still."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    found = [str(each.message) for each in caught if "stands still" in str(each.message)]
    for message in found:
        assert message.endswith(".") and "\n" not in message and len(message) < 400
        assert "spp.Pruner(model, optimizer)" in message
    return found


ASKED = {
    "progress": lambda pruned: spp.Pruner(pruned).progress(),
    "missing": lambda pruned: spp.Pruner(pruned).missing(),
    "plan": lambda pruned: spp.Pruner(pruned).plan(100),
    "plan without steps": lambda pruned: spp.Pruner(pruned).plan(None),
    "updates_needed": lambda pruned: spp.Pruner(pruned).updates_needed(),
    "finish_if_reached": lambda pruned: spp.Pruner(pruned).finish_if_reached(),
    "shrink": spp.shrink,
}


@pytest.mark.parametrize("mode", ["eager", "graph", "xla"])
def test_another_optimizer_than_the_compiled_one_is_told_by_all_who_look(mode):
    pruned = compiled(prune(dense_net()), "sgd")
    pruner = spp.Pruner(pruned)
    train(pruned, keras.optimizers.Adam(0.01), mode=mode)
    assert pruner.progress().updates == 0
    for name, call in ASKED.items():
        (message,) = told(lambda call=call: call(pruned)) or [""]
        assert f"{STEPS} training steps" in message and "of the SGD that" in message, name
    assert told(pruner.progress) and told(pruner.missing) and told(lambda: pruner.plan(100))


@pytest.mark.parametrize("mode", ["eager", "graph"])
@pytest.mark.parametrize("make", [
    lambda: keras.optimizers.legacy.Adam(0.01),
    lambda: tf.compat.v1.train.GradientDescentOptimizer(0.01),
    lambda: keras.mixed_precision.LossScaleOptimizer(keras.optimizers.SGD(0.01)),
])  # fmt: skip
def test_an_optimizer_of_any_kind_that_is_not_the_one_given_is_told(make, mode):
    pruned = prune(dense_net())
    spp.Pruner(pruned, keras.optimizers.SGD(0.01))
    train(pruned, make(), mode=mode)
    assert len(told(lambda: spp.shrink(pruned))) == 1


def test_updates_written_by_hand_are_told():
    pruned = compiled(prune(dense_net()), "sgd")
    for number in range(STEPS):
        for gradient, weight in zip(
            gradients_of(pruned, *samples(number)), pruned.trainable_variables, strict=True
        ):
            weight.assign_sub(0.01 * gradient)
    assert told(spp.Pruner(pruned).progress)


def test_an_eager_loop_is_told_while_it_runs():
    pruned = compiled(prune(dense_net()), "sgd")
    assert not told(lambda: train(pruned, keras.optimizers.Adam(0.01), 99))
    assert len(told(lambda: train(pruned, keras.optimizers.Adam(0.01), 101))) == 2


class Other(keras.Model):
    """Applies an optimizer of its own in `fit`."""

    def train_step(self, batch):
        x, y = batch
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x, y, self(x, training=True))
        variables = self.trainable_variables
        self.own.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return {"loss": loss}


def test_a_training_step_in_fit_that_applies_another_optimizer_is_told():
    plain = dense_net()
    pruned = compiled(prune(Other(plain.input, plain.output)))
    pruned.own = sgd(0.01)
    pruned.own.build(pruned.trainable_variables)

    def run():
        with pytest.raises(RuntimeError, match="SPP pruned nothing"):
            fit_dense(pruned, 120)

    assert len(told(run)) >= 2  # in the middle and at the end


def test_freezing_layers_and_columns_make_no_difference():
    for granularity, trained in (("column", "last"), ("channel", "head")):
        pruned = compiled(prune(conv_net(), granularity=granularity), "sgd")
        for layer in pruned.layers:
            layer.trainable = layer.name == trained
        x, y = data(STEPS)
        optimizer = sgd(0.1)
        for number in range(STEPS):
            part = slice(4 * number, 4 * number + 4)
            gradients = gradients_of(pruned, x[part], y[part])
            optimizer.apply_gradients(zip(gradients, pruned.trainable_variables, strict=True))
        assert told(spp.Pruner(pruned).missing)


# -- no false alarm --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "passes"),
    [
        ("eager", 1),
        ("graph", 7),
        ("xla", 1),
        pytest.param("eager", 7, marks=pytest.mark.slow),
        pytest.param("graph", 1, marks=pytest.mark.slow),
        pytest.param("xla", 7, marks=pytest.mark.slow),
    ],
)
def test_the_optimizer_given_is_followed_however_often_a_step_calls_the_model(mode, passes):
    pruned, optimizer = compiled(prune(dense_net(), frequency=50), "adam"), sgd(0.01)
    pruner = spp.Pruner(pruned, optimizer)
    assert not told(lambda: train(pruned, optimizer, 101, passes, mode))
    assert not told(pruner.progress) and not told(lambda: spp.shrink(pruned))


@pytest.mark.parametrize("optimizer", [
    keras.optimizers.Adam(0.01), keras.optimizers.legacy.SGD(0.01),
    keras.mixed_precision.LossScaleOptimizer(keras.optimizers.SGD(0.01)),
], ids=lambda o: type(o).__name__)  # fmt: skip
def test_no_kind_of_optimizer_is_suspected_in_fit(optimizer):
    pruned = compiled(prune(dense_net(), frequency=50), optimizer, steps_per_execution=3)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "SPP (has not|will not|may not)")
        assert not told(lambda: fit_dense(pruned, 120))
    assert not told(spp.Pruner(pruned).missing)


def test_gradient_accumulation_is_not_suspected():
    plain = dense_net()
    pruned = compiled(prune(Accumulating(plain.input, plain.output), frequency=40), sgd(0.02))
    assert not told(lambda: fit_dense(pruned, 210))
    pruned, optimizer = prune(dense_net(), frequency=100), sgd(0.01)
    pruner = spp.Pruner(pruned, optimizer)

    def accumulate():
        for _ in range(3):
            sums = [tf.zeros_like(variable) for variable in pruned.trainable_variables]
            for number in range(64):
                found = gradients_of(pruned, *samples(number))
                sums = [a + b for a, b in zip(sums, found, strict=True)]
            assert not told(pruner.missing)
            optimizer.apply_gradients(zip(sums, pruned.trainable_variables, strict=True))

    assert not told(accumulate)


def test_dropout_of_many_samples_at_test_time_is_not_suspected():
    pruned = compiled(prune(dense_net()), "sgd")
    x, _ = samples()
    assert not told(lambda: [pruned(x, training=True) for _ in range(250)])
    assert not told(spp.Pruner(pruned).progress)


def test_a_generator_is_not_suspected_while_another_network_is_trained():
    """Five steps of a critic, each with passes through the generator, for one of it."""
    pruned, optimizer = prune(dense_net(), frequency=100), sgd(0.01)
    critic, other = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]), sgd(0.01)
    pruner = spp.Pruner(pruned, optimizer)

    def step(network, applied, number):
        x, _ = samples(number)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(critic(pruned(x, training=True), training=True))
        gradients = tape.gradient(loss, network.trainable_variables)
        applied.apply_gradients(zip(gradients, network.trainable_variables, strict=True))

    def loop():
        for number in range(20):
            for _ in range(5):
                step(critic, other, number)
                assert not told(pruner.missing)
            step(pruned, optimizer, number)

    assert not told(loop)


def test_parts_trained_by_several_optimizers_are_not_suspected():
    pruned, first, second = prune(dense_net(), frequency=100), sgd(0.01), sgd(0.02)
    pruner = spp.Pruner(pruned, first)

    def loop():
        for number in range(110):
            gradients = gradients_of(pruned, *samples(number))
            pairs = list(zip(gradients, pruned.trainable_variables, strict=True))
            second.apply_gradients(pairs[2:])
            first.apply_gradients(pairs[:2])
            pruner.missing()

    assert not told(loop)


def test_the_right_optimizer_afterwards_ends_the_alarm():
    pruned = compiled(prune(dense_net(), frequency=100), "sgd")
    optimizer = sgd(0.01)
    train(pruned, optimizer)
    assert told(spp.Pruner(pruned).missing)
    pruner = spp.Pruner(pruned, optimizer)
    assert not told(pruner.missing)
    train(pruned, optimizer)
    assert not told(pruner.missing)


def test_a_model_that_is_pruned_to_its_end_is_trained_with_any_optimizer():
    pruned = compiled(prune(dense_net()), sgd())
    fit_dense(pruned, 60)
    assert spp.Pruner(pruned).progress().finished
    assert not told(lambda: train(pruned, keras.optimizers.Adam(0.01), 110))
    assert not told(spp.Pruner(pruned).progress) and not told(lambda: spp.shrink(pruned))


def test_weights_restored_between_steps_are_not_suspected(tmp_path):
    pruned, optimizer = prune(dense_net(), frequency=1000), sgd(0.01)
    pruner = spp.Pruner(pruned, optimizer)
    pruned.save_weights(tmp_path / "w.h5")
    for number in range(3):
        pruned.load_weights(tmp_path / "w.h5")
        gradients_of(pruned, *samples(number))
    assert not told(pruner.missing)


@pytest.mark.parametrize("scope", ["mirrored", "none"])
def test_replicas_are_told_alike(scope):
    if scope == "mirrored":
        strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    else:
        strategy = tf.distribute.get_strategy()
    with strategy.scope():
        pruned = compiled(prune(dense_net()), sgd())
        optimizer, right = sgd(0.01), sgd(0.01)
        for each in (optimizer, right):
            each.build(pruned.trainable_variables)

    def loop(applied):
        @tf.function
        def step(x, y):
            def replica():
                gradients = gradients_of(pruned, x, y)
                applied.apply_gradients(zip(gradients, pruned.trainable_variables, strict=True))

            strategy.run(replica)

        for number in range(STEPS):
            step(*map(tf.constant, samples(number)))

    loop(optimizer)
    assert told(spp.Pruner(pruned).missing)
    pruner = spp.Pruner(pruned, right)
    loop(right)
    assert not told(pruner.missing)


def test_what_is_noted_is_no_part_of_the_model(tmp_path):
    pruned = compiled(prune(dense_net()), "sgd")
    train(pruned, sgd())
    names = [variable.name for variable in pruned.variables]
    assert not [name for name in names if "standing" in name or "values" in name]
    for name in ("m.keras", "m.h5", "m"):
        pruned.save(tmp_path / name)
        loaded = keras.models.load_model(tmp_path / name)
        assert len(loaded.variables) == len(names)
        assert not told(spp.Pruner(loaded).progress)
    fit(compiled(prune(conv_net())), 5, callbacks=[])
    assert np.isfinite(pruned.get_weights()[0]).all()
