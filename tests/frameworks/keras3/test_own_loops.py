"""Training loops of one's own do what `fit` does, on each backend in its own way."""

import keras
import numpy as np
import pytest

import keras_spp as spp
from tests.helpers.states import assert_same_state
from tests.helpers.training_keras3 import (
    BACKEND,
    compiled,
    dead_weights,
    dense_net,
    fit,
    prune,
    read,
    samples,
    state,
)
from tests.helpers.wrappers import find_wrappers

pytestmark = pytest.mark.filterwarnings("ignore:SPP has not met", "ignore:SPP will not reach")
ops = keras.ops
STEPS = 20


def on(backend):
    return pytest.mark.skipif(backend != BACKEND, reason=f"needs KERAS_BACKEND={backend}")


def batches(pruned, steps=STEPS):
    """Those of `fit`."""
    x, y = samples(pruned, 4 * steps)
    return [(x[i : i + 4], y[i : i + 4]) for i in range(0, 4 * steps, 4)]


def optimizer_of(pruned):
    optimizer = keras.optimizers.AdamW(0.02, weight_decay=0.1)
    optimizer.build(pruned.trainable_variables)
    return optimizer


def check(pruned, optimizer, score):
    """Compares with what `fit` makes of the same batches."""
    assert spp.Pruner(pruned, optimizer).progress().finished
    assert dead_weights(pruned).size and not dead_weights(pruned).any()
    fitted = prune(score=score)
    fit(compiled(fitted, optimizer_of(fitted)), STEPS)
    one, other = (state(model, optimizer=False) for model in (pruned, fitted))
    assert_same_state(one, other, rtol=1e-3, atol=1e-5)
    for mine, its in zip(find_wrappers(pruned), find_wrappers(fitted), strict=True):
        np.testing.assert_array_equal(read(mine.mask), read(its.mask))


@on("tensorflow")
@pytest.mark.parametrize("compiled_step", [False, True])
@pytest.mark.parametrize("score", ["l1", "taylor"])
def test_a_loop_with_tensorflow(compiled_step, score):
    import tensorflow as tf

    pruned = prune(score=score)
    optimizer = optimizer_of(pruned)
    pruner = spp.Pruner(pruned, optimizer)
    pruner.plan(STEPS)

    def step(x, y):
        pruner.begin_step()
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((pruned(x, training=True) - y) ** 2)
        gradients = tape.gradient(loss, pruned.trainable_variables)
        optimizer.apply(gradients, pruned.trainable_variables)
        pruner.end_step()

    step = tf.function(step) if compiled_step else step
    for x, y in batches(pruned):
        step(tf.constant(x), tf.constant(y))
    check(pruned, optimizer, score)


@on("jax")
@pytest.mark.parametrize("compiled_step", [False, True])
@pytest.mark.parametrize("score", ["l1", "taylor"])
def test_a_loop_with_jax(compiled_step, score):
    import jax

    pruned = prune(score=score)
    optimizer = optimizer_of(pruned)
    pruner = spp.Pruner(pruned, optimizer)
    pruner.plan(STEPS)

    def loss(trainable, other, x, y):
        output, other = pruned.stateless_call(trainable, other, x, training=True)
        return ops.mean((output - y) ** 2), other

    def step(state, x, y):
        trainable, other, own = pruner.stateless_begin_step(*state)
        (_, other), gradients = jax.value_and_grad(loss, has_aux=True)(trainable, other, x, y)
        trainable, own = optimizer.stateless_apply(own, gradients, trainable)
        return pruner.stateless_end_step(trainable, other, own)

    step = jax.jit(step) if compiled_step else step
    variables = pruned.trainable_variables, pruned.non_trainable_variables, optimizer.variables
    values = tuple([variable.value for variable in part] for part in variables)
    for x, y in batches(pruned):
        values = step(values, x, y)
    for part, new in zip(variables, values, strict=True):
        for variable, value in zip(part, new, strict=True):
            variable.assign(value)
    check(pruned, optimizer, score)


@on("torch")
@pytest.mark.parametrize("score", ["l1", "taylor"])
def test_a_loop_with_pytorch(score):
    import torch

    pruned = prune(score=score)
    optimizer = optimizer_of(pruned)
    pruner = spp.Pruner(pruned, optimizer)
    pruner.plan(STEPS)
    for x, y in batches(pruned):
        pruner.begin_step()
        pruned.zero_grad()
        loss = torch.mean((pruned(torch.from_numpy(x), training=True) - torch.from_numpy(y)) ** 2)
        loss.backward()
        with torch.no_grad():
            weights = pruned.trainable_weights
            optimizer.apply([weight.value.grad for weight in weights], weights)
        pruner.end_step()
    check(pruned, optimizer, score)


# -- what may be forgotten -----------------------------------------------------------------------


def one_step(pruned, optimizer, number):
    """Changes weights as a step does, on any backend, and counts it."""
    gradients = [
        ops.convert_to_tensor(np.full(variable.shape, 1e-3 * (number + 1), "float32"))
        for variable in pruned.trainable_variables
    ]
    if BACKEND == "torch":
        import torch

        with torch.no_grad():
            optimizer.apply(gradients, pruned.trainable_variables)
    else:
        optimizer.apply(gradients, pruned.trainable_variables)


def test_a_loop_that_never_begins_a_step_is_told_what_to_call():
    pruned = prune()
    spp.Pruner(pruned, optimizer_of(pruned))
    with pytest.raises(RuntimeError, match=r"call begin_step\(\) of spp\.Pruner\(model, optim"):
        pruned(samples(pruned, 4)[0], training=True)


def test_a_loop_with_another_optimizer_is_told():
    pruned = prune()
    pruner, other = spp.Pruner(pruned, optimizer_of(pruned)), optimizer_of(pruned)
    with pytest.warns(UserWarning, match="SPP stands still: .* AdamW that pruning goes by"):
        for number in range(4):
            pruner.begin_step()
            one_step(pruned, other, number)
            pruner.end_step()
            pruner.progress()


def test_fit_with_another_optimizer_than_that_of_the_pruner_is_refused():
    pruned = compiled(prune())
    spp.Pruner(pruned, optimizer_of(pruned))
    with pytest.raises(ValueError, match="must be the one that the model is compiled with"):
        fit(pruned, 3, [])
    if BACKEND == "jax":
        return  # where Keras loses the variables of a model whose first step fails
    fit(pruned, 40)  # the callback's own pruner takes that one
    assert spp.Pruner(pruned).progress().finished


def test_a_pruner_without_an_optimizer_says_what_it_needs():
    pruner = spp.Pruner(prune())
    with pytest.raises(RuntimeError, match=r"no optimizer to count training steps with: compile"):
        pruner.begin_step()


def test_masks_are_drawn_anew_in_each_step_of_a_loop():
    pruned = prune(frequency=1000)
    optimizer = optimizer_of(pruned)
    pruner = spp.Pruner(pruned, optimizer)
    pruner.set_probabilities(np.full(16, 0.5, "float32"))
    drawn = []
    for number in range(8):
        pruner.begin_step()
        drawn.append(np.concatenate([read(w.drawn) for w in find_wrappers(pruned)]))
        one_step(pruned, optimizer, number)
        pruner.end_step()
    assert len({mask.tobytes() for mask in drawn}) == 8
    assert 0.3 < np.mean(drawn) < 0.7
    assert dense_net().count_params() == sum(
        int(np.prod(v.shape)) for v in pruned.trainable_weights
    )


def test_fit_goes_on_after_steps_of_ones_own():
    """On JAX it gives variables away, none of which may share a buffer with another."""
    pruned = compiled(prune())
    pruner = spp.Pruner(pruned)
    pruned.optimizer.build(pruned.trainable_variables)
    for number in range(3):
        pruner.begin_step()
        one_step(pruned, pruned.optimizer, number)
        pruner.end_step()
    fit(pruned, 30)
    progress = spp.Pruner(pruned).progress()
    assert progress.finished and progress.step == 33
