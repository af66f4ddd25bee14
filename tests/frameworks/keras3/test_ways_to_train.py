"""What training a Keras 3 model may look like, and that pruning does the same in it."""

import keras
import numpy as np
import pytest

import keras_spp as spp
from tests.helpers.keras3 import assert_equal
from tests.helpers.slow import slow_but
from tests.helpers.states import assert_same_state
from tests.helpers.training_keras3 import (
    BACKEND,
    EachStep,
    compiled,
    conv_net,
    dense_net,
    fit,
    prune,
    prune_by,
    read,
    samples,
    state,
)
from tests.helpers.wrappers import find_wrappers

pytestmark = pytest.mark.filterwarnings(
    "ignore:SPP has not met", "ignore:SPP will not reach", "ignore:shrink"
)
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
L, ops = keras.layers, keras.ops


# -- how a step is run ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain_run():
    pruned = compiled(prune(), "adam", jit_compile=False)
    fit(pruned, 12, epochs=2)
    return state(pruned)


WAYS = {
    "jit": {"jit_compile": True},
    "eagerly": {"run_eagerly": True},
    "four steps": {"jit_compile": False, "steps_per_execution": 4},
    "five steps, jit": {"jit_compile": True, "steps_per_execution": 5},
}


@pytest.mark.parametrize("way", slow_but(WAYS, ["eagerly", "five steps, jit"]))
def test_the_same_is_pruned_however_a_step_is_run(way, plain_run):
    if BACKEND == "torch" and way != "eagerly":
        pytest.skip("takes a compiler for C++, and makes one step at a time")
    pruned = compiled(prune(), "adam", **WAYS[way])
    fit(pruned, 12, epochs=2)
    assert_same_state(plain_run, state(pruned), **CLOSE)
    assert spp.Pruner(pruned).progress().finished
    for wrapper in find_wrappers(pruned):  # masks and probabilities to the bit
        name = f"{wrapper.path}/mask"
        np.testing.assert_array_equal(dict(plain_run)[name], read(wrapper.mask))


def test_train_on_batch_prunes_like_fit(plain_run):
    pruned = compiled(prune(), "adam", jit_compile=False)
    pruner = spp.Pruner(pruned)
    pruner.plan(24)
    x, y = samples(pruned, 48)
    for start in [*range(0, 48, 4)] * 2:
        pruned.train_on_batch(x[start : start + 4], y[start : start + 4])
    assert_same_state(plain_run, state(pruned), **CLOSE)


def test_compiled_again_between_two_fits_with_a_new_optimizer():
    pruned = compiled(prune(A=0.15), "adam")
    fit(pruned, 6)
    before = spp.Pruner(pruned).progress()
    assert not before.finished
    compiled(pruned, keras.optimizers.SGD(0.02))
    fit(pruned, 40)
    after = spp.Pruner(pruned).progress()
    assert after.finished and after.updates > before.updates and after.step == 40


def test_layers_that_are_not_pruned_train_as_they_did():
    """At p = 0 the pruned model is the plain one."""
    plain, pruned = compiled(conv_net(), "adam"), compiled(prune(conv_net(), frequency=9), "adam")
    fit(plain, 8, [])
    fit(pruned, 8, [])
    trained = [(v.path, read(v)) for v in plain.trainable_variables]
    own = [(v.path, read(v)) for v in pruned.trainable_variables]
    assert_same_state(trained, own, rtol=1e-4, atol=1e-6)


# -- training steps of one's own -----------------------------------------------------------------


class OwnLoss(keras.Model):
    """Adds a penalty."""

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return ops.mean(ops.abs(y - y_pred)) + 0.1 * ops.mean(y_pred**2)


class OwnStep(keras.Model):
    """Notes that its step was made, and makes that of its class."""

    noted = 0

    def train_step(self, *arguments):
        type(self).noted += 1
        return super().train_step(*arguments)


@pytest.mark.parametrize("kind", [OwnLoss, OwnStep])
def test_functional_subclasses_keep_their_own_step_and_loss(kind):
    OwnStep.noted = 0
    pruned = compiled(prune(dense_net(kind)))
    assert type(pruned) is kind
    plain = compiled(prune(dense_net()))
    fit(pruned, 20)
    fit(plain, 20)
    assert spp.Pruner(pruned).progress().finished
    assert (OwnStep.noted > 0) == (kind is OwnStep)
    same = all(
        np.allclose(read(a), read(b), **CLOSE)
        for a, b in zip(pruned.trainable_weights, plain.trainable_weights, strict=True)
    )
    assert same == (kind is OwnStep)
    assert type(spp.shrink(pruned)) is kind


# -- callbacks -----------------------------------------------------------------------------------


def test_without_the_callback_fit_prunes_if_it_knows_how_often():
    pruned = compiled(prune())
    fit(pruned, 40, [])
    assert spp.Pruner(pruned).progress().finished


def test_without_the_callback_fit_says_what_is_missing(tmp_path):
    loaded = prune()
    loaded.save(tmp_path / "model.keras")
    loaded = compiled(keras.saving.load_model(tmp_path / "model.keras"))
    unplanned = compiled(prune(frequency=None))
    for model, match in ((loaded, "drawn its masks"), (unplanned, "no frequency")):
        with pytest.raises(RuntimeError, match=match) as error:
            fit(model, 3, [])
        assert "pass callbacks=[spp.SPPCallback()] to fit" in str(error.value)
        if BACKEND != "jax":  # where Keras loses the variables of a model whose first step fails
            fit(model, 40)
            assert spp.Pruner(model).progress().finished


def test_two_callbacks_are_refused():
    pruned = compiled(prune())
    with pytest.raises(ValueError, match="must hold one SPPCallback but holds more: give one"):
        fit(pruned, 3, [spp.SPPCallback(), spp.SPPCallback()])
    fit(pruned, 3)


@pytest.mark.parametrize("verbose", [1, 2])
def test_progress_is_printed(verbose, capsys):
    fit(compiled(prune()), 20, verbose=verbose)
    assert "groups_decided: 1.0" in capsys.readouterr().out.replace("\x1b[1m", "").replace(
        "\x1b[0m", ""
    )


@pytest.mark.parametrize("look", [spp.Pruner, spp.shrink])
def test_a_model_whose_training_was_interrupted_is_there(look):
    class Interrupt(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 5:
                raise KeyboardInterrupt

    pruned = compiled(prune())
    with pytest.raises(KeyboardInterrupt):
        fit(pruned, 10, [spp.SPPCallback(), Interrupt()])
    look(pruned)
    assert spp.Pruner(pruned).progress().step == 6
    fit(pruned, 30)
    assert spp.Pruner(pruned).progress().finished


def test_early_stopping_and_validation_beside_pruning():
    pruned = compiled(prune())
    x, y = samples(pruned, 8)
    stop = keras.callbacks.EarlyStopping(patience=0, monitor="val_loss", restore_best_weights=True)
    fit(pruned, 10, [spp.SPPCallback(), stop], epochs=4, validation_data=(x, y))
    assert_equal([read(pruned(x, training=False))], [read(spp.shrink(pruned)(x))])


# -- schedules and scores ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "steps"),
    [
        (spp.SPPSchedule(A=0.5, begin_step=5, frequency=2), 60),
        (spp.SPPSchedule(A=0.5, scale_survivors=True, frequency=1), 30),
        (spp.GradualSchedule(updates=5, frequency=3, begin_step=2), 30),
        (spp.OneShotSchedule(begin_step=3), 8),
    ],
    ids=["spp", "scaled", "gradual", "one shot"],
)
def test_schedules(schedule, steps):
    pruned, seen = compiled(prune_by(schedule)), []
    callbacks = [spp.SPPCallback(), EachStep(lambda m: seen.append(spp.Pruner(m).progress()))]
    fit(pruned, steps, callbacks)
    assert seen[-1].finished and seen[-1].pruned == 8
    first = next(progress.step for progress in seen if progress.updates)
    assert first == schedule.begin_step + (schedule.frequency or 1) + 1
    if isinstance(schedule, spp.OneShotSchedule):
        assert {progress.pruned for progress in seen} == {0, 8}


def test_without_a_frequency_pruning_takes_a_tenth_of_the_steps():
    pruned, done = compiled(prune(A=0.5, frequency=None)), []
    look = EachStep(lambda model: done.append(spp.Pruner(model).missing() == 0))
    fit(pruned, 100, [spp.SPPCallback(), look], epochs=2)
    assert spp.Pruner(pruned).frequency() == 3
    assert 10 <= done.index(True) <= 60 and done[-1]


def cubed(weight):
    return ops.abs(weight) ** 3


@pytest.mark.parametrize("score", ["l1", "l2", "taylor", "reconstruction", cubed])
def test_scores_rank_groups(score):
    data = samples(dense_net(), 64)[0] if score == "reconstruction" else None
    pruned = compiled(prune(score=score, score_decay=0.5, data=data))
    fit(pruned, 30)
    assert spp.Pruner(pruned).progress().finished
    assert all(np.isfinite(read(w.score)).all() for w in find_wrappers(pruned))
    x, _ = samples(pruned, 8)
    assert_equal([read(pruned(x, training=False))], [read(spp.shrink(pruned)(x))])


@pytest.mark.parametrize(("score", "power"), [("l1", 1), ("l2", 2), (cubed, 3)])
def test_scores_are_what_they_say_and_decay(score, power):
    pruned = compiled(prune(score=score, score_decay=0.5, A=0.05), keras.optimizers.SGD(0.0))
    fit(pruned, 4)  # three updates of weights that stay
    for wrapper in find_wrappers(pruned):
        sums = (np.abs(read(wrapper.masked[0].weight)) ** power).sum(1)
        once = np.sqrt(sums) if score == "l2" else sums
        np.testing.assert_allclose(read(wrapper.score), 1.75 * once, rtol=1e-5)


def test_the_batch_normalisations_scale_ranks_its_channels():
    x = inputs = keras.Input((4,))
    x = L.BatchNormalization(name="bn")(L.Dense(8, name="a")(x))
    model = keras.Model(inputs, L.Dense(2, name="c")(L.ReLU()(x)))
    gamma = np.array([5, 1, 6, 2, 7, 3, 8, 4], "float32")
    model.get_layer("bn").gamma.assign(-gamma)
    pruned = compiled(prune(model, score="bn_scale", A=0.5), keras.optimizers.SGD(0.0))
    fit(pruned, 20)
    (wrapper,) = find_wrappers(pruned)
    np.testing.assert_array_equal(read(wrapper.mask), gamma > 4)


def test_taylor_gathers_what_the_loss_says_of_each_group():
    """The magnitude of the sum over a group of weight times gradient, by finite differences."""
    pruned = compiled(prune(score="taylor", frequency=1000), keras.optimizers.SGD(0.0))
    spp.Pruner(pruned)
    x, y = samples(pruned, 16)
    pruned.train_on_batch(x, y)
    pruned.train_on_batch(x, y)  # weights stay, p = 0
    wrapper = find_wrappers(pruned)[0]
    kernel, step = wrapper.masked[0].weight, 1e-2
    value = np.array(read(kernel))
    for group in range(wrapper.size):
        losses = []
        for sign in (1, -1):
            changed = value.copy()
            changed[group] *= 1 + sign * step
            kernel.assign(changed)
            losses.append(float(pruned.evaluate(x, y, verbose=0)))
        slope = abs(losses[0] - losses[1]) / (2 * step)
        assert read(wrapper.gathered)[group] == pytest.approx(2 * slope, rel=0.02, abs=1e-4)


def test_a_score_that_keras_cannot_compute_is_refused_by_prune():
    with pytest.raises(ValueError, match="`score` must"):
        prune(score=lambda weight: ops.sum(weight))
    with pytest.raises(ValueError, match="`score` must"):
        prune(score=lambda weight: weight.nonsense())


@pytest.mark.skipif(BACKEND != "tensorflow", reason="the others average what there is")
def test_averages_beside_the_taylor_score_are_refused_before_the_first_step():
    pruned = compiled(prune(score="taylor"), keras.optimizers.Adam(use_ema=True))
    with pytest.raises(ValueError, match='`score` must not be "taylor" for an optimizer that'):
        fit(pruned, 4)


def test_steps_that_gather_gradients_of_several_batches_are_planned_as_what_they_are():
    pruned = compiled(
        spp.prune(dense_net(), 0.5, round_to=1, schedule=spp.SPPSchedule(A=0.5)),
        keras.optimizers.Adam(gradient_accumulation_steps=4),
    )
    fit(pruned, 120)
    assert int(pruned.optimizer.iterations) == 30 and spp.Pruner(pruned).progress().finished


def test_a_layer_that_is_always_called_in_training_is_pruned_like_others():
    x = keras.Input((4,))
    model = keras.Model(x, L.Dense(2)(L.Dense(8)(x), training=True))
    pruned = compiled(spp.prune(model, 0.5, round_to=1, schedule=spp.SPPSchedule(A=0.5)), "sgd")
    fit(pruned, 30)
    assert spp.Pruner(pruned).progress().finished
    assert spp.analyze(spp.shrink(pruned)).macs < spp.analyze(model).macs


@pytest.mark.skipif(BACKEND == "jax", reason="compiled steps cannot be told from others")
def test_a_step_of_ones_own_after_fit_needs_its_beginning_too():
    pruned = compiled(prune(), "sgd")
    fit(pruned, 4)
    pruner = spp.Pruner(pruned)
    x = ops.convert_to_tensor(samples(pruned, 4)[0])
    pruner.begin_step()
    pruned(x, training=True)
    pruner.end_step()
    with pytest.raises(Exception, match="nothing has drawn its masks"):
        pruned(x, training=True)
