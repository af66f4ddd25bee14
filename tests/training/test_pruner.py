import re
import warnings

import numpy as np
import pytest

import keras_spp as spp
from keras_spp.core.probability import Sets
from keras_spp.core.schedule import SPPSchedule
from tests.helpers.both_keras import TF_KERAS, L, array, keras
from tests.helpers.random_weights import randomize
from tests.helpers.states import assert_same_state
from tests.helpers.training import (
    begin_step,
    compiled,
    conv_net,
    data,
    fit,
    plain_net,
    predicted_mask,
    prune,
    sgd,
    state,
    updates_made,
)
from tests.helpers.wrappers import find_wrappers

pytestmark = [
    pytest.mark.usefixtures("keras"),
    pytest.mark.filterwarnings("ignore:SPP has not met", "ignore:SPP will not reach"),
]


# -- the model that it takes ---------------------------------------------------------------------


def test_a_model_that_is_not_pruned_is_refused():
    for model in (conv_net(), keras.Sequential([L.Dense(2)])):
        message = f"`model` '{model.name}' is not a model that spp.prune returned (it has 0 SPP"
        with pytest.raises(ValueError, match=re.escape(message)):
            spp.Pruner(model)


@TF_KERAS  # with Keras 3 a call alone draws no masks
def test_without_an_optimizer_there_is_no_clock():
    pruned = prune()
    with pytest.raises(RuntimeError, match="no optimizer to count training steps with"):
        pruned(data(1)[0], training=True)
    assert pruned(data(1)[0], training=False).shape == (4, 4)


def test_without_a_frequency_or_a_plan_a_training_step_says_what_to_do():
    pruned = compiled(prune(frequency=None))
    with pytest.raises(RuntimeError, match=r"SPPSchedule has no frequency and none was chosen"):
        pruned.train_on_batch(*data(1))
    spp.Pruner(pruned).plan(steps=100)
    pruned.train_on_batch(*data(1))


# -- scores and updates --------------------------------------------------------------------------


def first_update(pruned):
    """Triggers one update without training; returns the pruner and p before it."""
    pruner = spp.Pruner(pruned, sgd())
    pruner._optimizer.iterations.assign(1)
    before = array(pruner.probabilities())
    begin_step(pruner, pruned)
    assert updates_made(pruner) == 1
    return pruner, before


def test_the_score_of_a_column_is_the_l1_norm_of_its_weights():
    pruned = prune(granularity="column")
    pruner, before = first_update(pruned)
    scores = [
        np.abs(array(wrapper.masked[0].weight)).sum(-1).ravel() for wrapper in pruner.wrappers
    ]
    for wrapper, score in zip(pruner.wrappers, scores, strict=True):
        np.testing.assert_allclose(array(wrapper.score), score, rtol=1e-5, err_msg=wrapper.name)
    expected, _ = SPPSchedule(A=0.3).move(
        before, np.float32(np.concatenate(scores)), pruner.sets, 0
    )
    np.testing.assert_allclose(array(pruner.probabilities()), expected, atol=1e-6)


def test_the_score_of_a_channel_adds_the_relative_norms_in_all_layers_that_read_it():
    x = inputs = keras.Input((6, 6, 3))
    x = L.Conv2D(10, 3, name="stem")(x)
    wide, narrow = L.Conv2D(64, 3, name="wide")(x), L.Conv2D(2, 1, name="narrow")(x)
    x = L.Concatenate()([L.GlobalAveragePooling2D()(branch) for branch in (wide, narrow)])
    model = randomize(keras.Model(inputs, L.Dense(4)(x)))
    model.get_layer("wide").kernel.assign(model.get_layer("wide").kernel * 1000)
    pruner, before = first_update(prune(model))
    total = 0
    for name in ("wide", "narrow"):
        norm = np.abs(array(model.get_layer(name).kernel)).sum((0, 1, 3))
        total += norm / norm.mean()
    expected, _ = SPPSchedule(A=0.3).move(
        before[:10], np.float32(total), Sets.of([10], [5], 0.1), 0
    )
    assert pruner.names[0] == "stem"
    np.testing.assert_allclose(array(pruner.probabilities())[:10], expected, atol=1e-6)


@TF_KERAS
def test_who_only_looks_does_not_take_over_from_who_trains():
    pruned = prune(plain_net(), evaluation="sampled")
    x = data(1)[0]
    assert np.isfinite(array(pruned(x))).all()  # nothing counts steps yet: expected weights
    spp.Pruner(pruned, sgd())
    pruned(x, training=True)
    spp.Pruner(pruned).progress()
    spp.shrink(pruned)
    pruned(x, training=True)
    pruned(x, training=False)


@TF_KERAS  # masks are those of TensorFlow's random numbers
def test_sampled_evaluation_uses_the_masks_of_the_next_step_until_pruning_is_over():
    pruned = compiled(prune(plain_net(), evaluation="sampled"))
    fit(pruned, 3)
    before = state(pruned)
    x = data(2)[0]
    masked = plain_net()
    for layer in masked.layers:
        twin = pruned.get_layer(layer.name)
        if hasattr(twin, "masked"):
            kernel = twin.layer.kernel * predicted_mask(twin, 3)
            layer.set_weights([kernel, *twin.layer.get_weights()[1:]])
        else:
            layer.set_weights(twin.get_weights())
    np.testing.assert_allclose(pruned.predict(x, verbose=0), array(masked(x)), rtol=1e-5, atol=1e-6)
    expected = array(spp.shrink(pruned)(x))
    assert np.abs(array(pruned(x, training=False)) - expected).max() > 1e-3
    assert_same_state(state(pruned), before)
    fit(pruned, 30, start=3)
    small = spp.shrink(pruned)
    np.testing.assert_allclose(
        array(pruned(x, training=False)), array(small(x)), rtol=1e-5, atol=1e-7
    )


def test_with_a_decay_the_score_remembers():
    pruned = prune(A=0.01, score_decay=0.5)
    pruner, _ = first_update(pruned)
    wrapper = pruner.conductor
    first = array(wrapper.score)
    wrapper.layer.kernel.assign(wrapper.layer.kernel * 3)
    pruner._optimizer.iterations.assign(2)
    begin_step(pruner, pruned)
    np.testing.assert_allclose(array(wrapper.score), 0.5 * first + 3 * first, rtol=1e-5)


def test_every_layer_that_reads_a_channel_has_the_same_probability_and_mask_for_it():
    x = inputs = keras.Input((6, 6, 3))
    x = L.Conv2D(12, 3, name="stem")(x)
    x = L.Concatenate()([L.Conv2D(4, 3, name=name)(x) for name in "abc"])
    x = L.GlobalAveragePooling2D()(x)
    pruned = compiled(prune(randomize(keras.Model(inputs, L.Dense(4)(x)))))
    fit(pruned, 7)
    readers = [w for w in find_wrappers(pruned) if w.layer.name in "abc"]
    for variable in ("p", "mask"):
        values = [array(getattr(wrapper, variable)).tolist() for wrapper in readers]
        assert values[0] == values[1] == values[2]
    assert array(readers[0].p).max() > 0


def test_updates_happen_every_frequency_steps_and_stop_when_all_goals_are_met():
    pruned = compiled(prune(A=0.5, frequency=3))
    pruner, steps = spp.Pruner(pruned), []
    x, y = data(1)
    for step in range(80):
        before = updates_made(pruner)
        pruned.train_on_batch(x, y)
        if updates_made(pruner) != before:
            steps.append(step)
    assert pruner.progress().finished
    assert steps == list(range(3, steps[-1] + 1, 3)) and steps[-1] < 70
    assert (array(pruner.probabilities()) % 1 == 0).all()


@pytest.mark.parametrize("scaled", [True, False])
def test_survivors_keep_their_weights_or_as_in_the_paper_their_expected_ones(scaled):
    pruned = compiled(prune(frequency=1, scale_survivors=scaled), sgd(0.0))
    pruner, (x, y) = spp.Pruner(pruned), data(1)
    pruner.conductor.updates_made.assign(1000)  # late: nothing falls any more
    while not pruner.progress().finished:
        (wrapper,) = (w for w in pruner.wrappers if w.layer.name == "head")
        kernel, p = array(wrapper.masked[0].weight), array(wrapper.p)
        scores = np.abs(kernel).sum(-1)
        p[scores.argmax()] = 0.9  # as if it had become important only now
        wrapper.p.assign(p)
        made = updates_made(pruner)
        pruned.train_on_batch(x, y)
        if (array(wrapper.p) >= 1).sum() == 4 > (p >= 1).sum():  # the head's set is done
            schedule = SPPSchedule(A=0.3, scale_survivors=True)
            _, scale = schedule.move(p, scores, Sets.of([8], [4], 0.1), made)
            assert 0 < np.sort(scale)[4] < 1
            scale = scale if scaled else np.sign(scale)
            np.testing.assert_allclose(
                array(wrapper.masked[0].weight), kernel * scale[:, None], rtol=1e-6
            )
            assert sorted(array(wrapper.p)) == [0] * 4 + [1] * 4
            break
    else:
        pytest.fail("the head's set was never done")


# -- progress ------------------------------------------------------------------------------------


def test_progress_counts_what_is_pruned_and_its_speedup_is_that_of_the_shrunk_model():
    pruned = compiled(prune())
    pruner = spp.Pruner(pruned)
    assert pruner.progress().to_dict() == {
        "step": 0,
        "updates": 0,
        "pruned": 0,
        "goal": 18,
        "decided": 0.0,
        "macs_speedup": 1.0,
        "finished": False,
    }
    p = np.zeros(36, np.float32)
    p[[0, 1, 2, 16, 17, 28, 29, 30, 31]] = 1  # of 16, 12 and 8 groups; the last set is done
    pruner.set_probabilities(p)
    progress = pruner.progress()
    assert (progress.pruned, progress.goal, progress.finished) == (9, 18, False)
    assert progress.decided == pytest.approx((3 + 2 + 8) / 36)
    with pytest.warns(UserWarning, match="9 groups are still to be pruned"):
        small = spp.shrink(pruned)

    def macs(model):
        stem, inner, last, head = (
            model.get_layer(name).kernel.shape for name in ("stem", "inner", "last", "head")
        )
        return sum(
            positions * int(np.prod(shape))
            for positions, shape in ((36, stem), (16, inner), (16, last), (1, head))
        )

    assert progress.macs_speedup == pytest.approx(macs(conv_net()) / macs(small))


def test_progress_needs_no_optimizer():
    assert spp.Pruner(prune()).progress().step == 0


def test_a_goal_of_no_group_at_all_is_met_from_the_start():
    pruned = compiled(spp.prune(conv_net(), 0.01, schedule=spp.SPPSchedule(frequency=1)))
    progress = spp.Pruner(pruned).progress()
    assert (progress.goal, progress.decided, progress.finished) == (0, 1.0, True)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert fit(pruned, 4).history["groups_decided"] == [1.0]


def test_groups_and_their_sets_are_named_after_the_layers_that_make_or_hold_them():
    assert spp.Pruner(prune()).names == ["stem", "inner", "last"]
    assert spp.Pruner(prune(granularity="column")).names == ["stem", "inner", "last"]


@pytest.mark.parametrize("scaled", [True, False])
def test_reaching_the_target_speedup_early_ends_pruning_everywhere(scaled):
    # Columns that read half of the channels weigh next to nothing: they go first, and free
    # their producers, which the goals do not foresee.
    model = plain_net()
    for name in ("inner", "last"):
        kernel = model.get_layer(name).kernel
        kernel.assign(kernel * np.where(np.arange(kernel.shape[2]) % 2, 1, 0.01)[:, None])
    schedule = spp.SPPSchedule(A=0.3, frequency=1, scale_survivors=scaled)
    pruned = spp.prune(
        model, target_speedup=2.0, granularity="column", schedule=schedule, round_to=1
    )
    pruner = spp.Pruner(pruned, sgd(0.02))
    assert not pruner.finish_if_reached()
    p = np.full(len(pruner.sets.of_group), 0.25, np.float32)
    start = 0
    for wrapper in pruner.wrappers:
        columns = np.arange(start, start + wrapper.p.shape[0])
        if wrapper.layer.name in ("inner", "last"):
            p[columns[columns % 2 == start % 2]] = 1
        start += len(columns)
    pruner.set_probabilities(p)
    before = pruner.progress()
    assert before.macs_speedup >= 2 and before.pruned < before.goal and not before.finished
    x, _ = data(2)
    pruner.set_probabilities(p if scaled else np.floor(p))
    expected = array(pruned(x, training=False))
    pruner.set_probabilities(p)
    assert pruner.finish_if_reached()
    after = pruner.progress()
    assert after.finished and after.decided == 1 and after.pruned == before.pruned
    assert set(array(pruner.probabilities())) == {0, 1}
    np.testing.assert_allclose(array(pruned(x, training=False)), expected, rtol=1e-5, atol=1e-6)
    begin_step(pruner, pruned)
    np.testing.assert_allclose(array(pruned(x, training=True)), expected, rtol=1e-5, atol=1e-6)
    assert not pruner.finish_if_reached()
