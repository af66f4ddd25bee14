"""Every optimizer of tf_keras prunes, and moves what is not pruned as by itself."""

import inspect

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import keras_spp as spp
from tests.helpers.training import (
    dense_net,
    predicted_mask,
    prune,
    pruned_part,
    samples,
)

pytestmark = pytest.mark.filterwarnings("ignore:SPP has not met", "ignore:SPP will not reach")
optimizers = keras.optimizers


def gradients_of(model, x, y):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((model(x, training=True) - y) ** 2)
    return tape.gradient(loss, model.trainable_variables)


def every_optimizer():
    """All classes that tf_keras has, with everything on that they know; some as they come."""
    rates = {"Adadelta": 50.0, "Adagrad": 0.3, "Ftrl": 0.3}
    everything = {
        "weight_decay": 0.1, "clipnorm": 1.0, "use_ema": True, "ema_momentum": 0.5,
        "ema_overwrite_frequency": 2, "jit_compile": False,
    }  # fmt: skip
    found = {
        "plain SGD": (optimizers.SGD, {"learning_rate": 0.05, "jit_compile": False}),
        "nesterov, clipvalue": (
            optimizers.SGD,
            {"learning_rate": 0.05, "momentum": 0.9, "nesterov": True, "clipvalue": 0.1},
        ),
        "global_clipnorm, jit_compile": (
            optimizers.Adam,
            {"learning_rate": 0.05, "global_clipnorm": 0.5, "jit_compile": True},
        ),
    }
    for place in (optimizers, optimizers.legacy):
        for name, kind in vars(place).items():
            if not inspect.isclass(kind) or name == "Optimizer":
                continue
            legacy = place is optimizers.legacy
            options = {"clipnorm": 1.0} if legacy else dict(everything)
            options["learning_rate"] = rates.get(name, 0.05)
            if name in ("SGD", "RMSprop"):
                options["momentum"] = 0.9
            if name == "Adafactor":  # with less it divides 0 by 0, see below
                options["epsilon_1"] = 1e-16
            found[f"legacy {name}" if legacy else name] = (kind, options)
    return found


OPTIMIZERS = every_optimizer()
FORGETFUL = {"plain SGD", "legacy Adagrad", "legacy Adadelta"}


def test_every_optimizer_is_there():
    assert {"Adafactor", "Lion", "Nadam", "SGD", "legacy Ftrl", "AdamW"} <= set(OPTIMIZERS)
    assert len(OPTIMIZERS) == 11 + 8 + 3


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_under_every_optimizer_weights_move_as_by_it_alone_and_dead_ones_stay_zero(name):
    """Beside the same optimizer on bare variables, given the gradients of the masked network.

    Those gradients are 0 behind a sampled 0, where only what the optimizer remembers (momentum,
    moments, averages) and weight decay may move a weight; and what is pruned for good is zero.
    """
    kind, options = OPTIMIZERS[name]
    pruned, mine, other = prune(dense_net(), frequency=1000), kind(**options), kind(**options)
    pruner = spp.Pruner(pruned, mine)
    pruner.set_probabilities(np.random.default_rng(1).uniform(0, 0.8, 16))
    twins = [tf.Variable(weight) for weight in pruned.trainable_variables]
    place = {id(weight): n for n, weight in enumerate(pruned.trainable_variables)}
    would_have_moved = False
    for step in range(6):
        if step == 3:  # a third of the groups die, with momenta that would move them
            p = pruner.probabilities().numpy()
            p[::3] = 1
            pruner.set_probabilities(p)
            for wrapper in pruner.wrappers:
                wrapper.pruning_obj.weight_mask_op()
        gradients = gradients_of(pruned, *samples(step))
        alive = {}
        for wrapper in pruner.wrappers:
            (masked,) = wrapper.masked
            number = place[id(masked.weight)]
            hidden = ~predicted_mask(wrapper, step)
            where = f"{name}, step {step}, {wrapper.name}"
            assert hidden.any() and not gradients[number].numpy()[hidden].any(), where
            alive[number] = np.broadcast_to(masked.spread(wrapper.mask), hidden.shape)
            twins[number].assign(twins[number] * alive[number])
        other.apply_gradients(zip(gradients, twins, strict=True))
        mine.apply_gradients(zip(gradients, pruned.trainable_variables, strict=True))
        for number, twin in enumerate(twins):
            value, mask = pruned.trainable_variables[number].numpy(), alive.get(number, 1)
            np.testing.assert_array_equal(value, twin * mask, f"{name}, step {step}")
            would_have_moved |= bool(np.any(twin.numpy() * (1 - mask)))
        dead = pruned_part(pruned)
        assert (step < 3) == (dead.size == 0) and not dead.any(), f"{name}, step {step}"
    assert would_have_moved != (name in FORGETFUL), "or the test shows nothing"


def test_adafactors_own_nan_stops_pruning():
    """Where neither a row nor a column of a kernel has a gradient, 1e-30 * 1e-30 is 0."""
    pruned, optimizer = prune(dense_net()), optimizers.Adafactor(0.05, jit_compile=False)
    pruner = spp.Pruner(pruned, optimizer)
    pruner.set_probabilities(np.random.default_rng(1).uniform(0.3, 0.8, 16))
    for step in range(8):
        gradients = gradients_of(pruned, *samples(step))
        optimizer.apply_gradients(zip(gradients, pruned.trainable_variables, strict=True))
    with pytest.raises(FloatingPointError, match="layer 'b' hold NaN or infinity"):
        pruner.progress()
