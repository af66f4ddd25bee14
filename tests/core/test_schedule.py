import re

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras as keras

import keras_spp as spp
from tests.helpers.judged import net
from tests.zoo.models import L, randomize, relative_error

sparsity = tfmot.sparsity.keras
EVERYTHING = {
    "A": 0.1,
    "u": 0.3,
    "frequency": 7,
    "begin_step": 3,
    "overshoot": 0.2,
    "score": "taylor",
    "score_decay": 0.5,
    "evaluation": "sampled",
    "scale_survivors": True,
}


@pytest.mark.parametrize(
    ("name", "wanted", "values"),
    [
        ("A", "a number in (0, 1]", [0, -0.1, 1.01, np.nan, np.inf, "0.1", None, True]),
        ("u", "a number in (0, 0.5)", [0, 0.5, -1, np.nan, "0.1", None]),
        ("frequency", "None or an integer of at least 1", [0, -3, 2.0, 1.5, "2", True]),
        ("begin_step", "an integer of at least 0", [-1, 1.5, None, "0", False]),
        ("overshoot", "a number in [0, 1]", [-0.1, 1.5, np.nan, None, "0"]),
        ("score_decay", "a number in [0, 1)", [-0.1, 1, 1.5, np.nan, None]),
        ("evaluation", '"expected" or "sampled"', ["", None, True, "both"]),
        ("scale_survivors", "True or False", ["", None, 1, np.ones(2)]),
    ],
)
def test_an_argument_out_of_range_is_refused_with_its_name_range_and_value(name, wanted, values):
    for value in values:
        message = f"`{name}` must be {wanted} but is {value!r}."
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            spp.SPPSchedule(**{name: value})


def test_the_ends_of_the_ranges_and_numpy_numbers_are_accepted():
    spp.SPPSchedule(A=1, u=0.499, frequency=1, begin_step=0, overshoot=0, score_decay=0)
    spp.SPPSchedule(A=np.float32(0.5), overshoot=1, score_decay=0.99)
    schedule = spp.SPPSchedule(frequency=np.int64(7), begin_step=np.int32(2))
    assert (schedule.frequency, schedule.begin_step) == (7, 2)
    assert type(schedule.frequency) is int and type(schedule.A) is float  # for JSON


def test_the_defaults_are_the_papers_with_an_overshoot_that_lets_pruning_end():
    schedule = spp.SPPSchedule()
    assert (schedule.A, schedule.u, schedule.overshoot) == (0.05, 0.25, 0.1)
    assert (schedule.frequency, schedule.begin_step, schedule.score_decay) == (None, 0, 0)
    assert not schedule.scale_survivors  # the paper scales


def test_it_is_a_pruning_schedule_of_tfmot():
    assert isinstance(spp.SPPSchedule(), sparsity.PruningSchedule)


def test_updates_are_due_every_frequency_steps_after_begin_step_and_never_before_training():
    schedule = spp.SPPSchedule(frequency=4, begin_step=3)
    due = [step for step in range(20) if bool(schedule(tf.constant(step))[0])]
    assert due == [7, 11, 15, 19]
    assert not spp.SPPSchedule(frequency=1)(0)[0]


@pytest.mark.parametrize(("frequency", "begin"), [(1, 0), (3, 0), (4, 6), (180, 5)])
def test_updates_in_counts_the_steps_at_which_an_update_is_due(frequency, begin):
    schedule = spp.SPPSchedule(frequency=frequency, begin_step=begin)
    due = [bool(schedule.due(step, frequency)) for step in range(400)]
    for steps in (0, 1, 3, 10, 186, 400):
        assert schedule.updates_in(steps, frequency) == sum(due[:steps])


def test_called_as_tfmot_does_it_expects_the_probability_of_the_least_important_group():
    schedule = spp.SPPSchedule(A=0.4, frequency=2, begin_step=4)
    expected = [float(schedule(step)[1]) for step in (0, 4, 6, 8, 10, 100)]
    np.testing.assert_allclose(expected, [0, 0, 0.4, 0.8, 1, 1])


@pytest.mark.parametrize("arguments", [{}, EVERYTHING])
def test_config_round_trip_under_the_registered_name(arguments):
    config = spp.SPPSchedule(**arguments).get_config()
    assert config["class_name"] == "keras_spp>SPPSchedule"
    assert keras.saving.get_registered_object("keras_spp>SPPSchedule") is spp.SPPSchedule
    assert spp.SPPSchedule(**config["config"]).get_config() == config
    restored = keras.utils.deserialize_keras_object(config)
    assert type(restored) is spp.SPPSchedule
    assert restored.get_config() == config


def test_stock_tfmot_pruning_runs_with_it_and_saves_it_as_a_schedule(tmp_path):
    layer = keras.layers.Dense(8, input_shape=(4,))
    schedule = spp.SPPSchedule(A=0.25, frequency=2)
    model = keras.Sequential([sparsity.prune_low_magnitude(layer, pruning_schedule=schedule)])
    model.compile("sgd", "mse")
    x, y = np.ones((24, 4), np.float32), np.ones((24, 8), np.float32)
    model.fit(x, y, batch_size=2, verbose=0, callbacks=[sparsity.UpdatePruningStep()])
    # Twelve steps with five updates, and a sparsity of min(1, 0.25 * updates).
    assert np.mean(model.layers[0].layer.kernel.numpy() == 0) > 0.5
    for name in ("model.keras", "model.h5"):
        model.save(tmp_path / name)
        with sparsity.prune_scope():
            loaded = keras.models.load_model(tmp_path / name)
        restored = loaded.layers[0].pruning_schedule
        assert type(restored) is spp.SPPSchedule, f"{name}: {restored!r}"
        assert restored.get_config() == schedule.get_config()


def pruned_by(schedule, steps):
    """A network, one fit later, with how many groups were pruned at each step."""
    counts = []

    class Count(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            counts.append(spp.Pruner(self.model).progress().pruned)

    x = keras.Input((8, 8, 3))
    y = L.Conv2D(32, 3, name="second")(L.Conv2D(16, 3, name="first")(x))
    model = randomize(keras.Model(x, L.Dense(4)(y)), 1)
    pruned = spp.prune(model, pruning_ratio=0.5, round_to=1, schedule=schedule)
    pruned.compile(keras.optimizers.SGD(1e-4), "mse")
    data = np.ones((steps, 8, 8, 3)), np.ones((steps, 4, 4, 4))
    pruned.fit(*data, 1, verbose=0, callbacks=[spp.SPPCallback(), Count()], shuffle=False)
    return model, pruned, counts


def test_one_shot_prunes_the_lowest_norms_at_once_and_for_good():
    model, pruned, counts = pruned_by(spp.OneShotSchedule(begin_step=3), 8)
    assert counts == [0, 0, 0, 0, 24, 24, 24, 24]  # the update precedes the step's own counting
    for wrapper in spp.Pruner(pruned).wrappers:
        kernel = model.get_layer(wrapper.layer.name).kernel.numpy()
        norms = np.abs(kernel).sum(
            axis=tuple(i for i in range(kernel.ndim) if i != kernel.ndim - 2)
        )
        lowest = np.argsort(norms)[: len(norms) // 2]
        assert set(np.flatnonzero(wrapper.p.numpy() == 1)) == set(lowest), wrapper.layer.name
    assert relative_error(pruned, spp.shrink(pruned)) <= 2e-5


@pytest.mark.parametrize("target", [2.0, 4.0])
def test_one_shot_foresees_which_producers_pruned_columns_free(target):
    options = {"target_speedup": target, "granularity": "column", "round_to": 1}
    model = net("second")  # half of the second layer's channels are hardly read
    pruned = spp.prune(model, schedule=spp.OneShotSchedule(), **options)
    gradual = spp.Pruner(spp.prune(model, schedule=spp.GradualSchedule(), **options))
    assert spp.Pruner(pruned).sets.goal.sum() < gradual.sets.goal.sum()
    pruned.compile(keras.optimizers.SGD(1e-6), "mse")
    pruned.fit(np.ones((6, 8, 8, 3)), np.ones((6, 5)), 2, verbose=0, callbacks=[spp.SPPCallback()])
    assert target <= spp.Pruner(pruned).progress().macs_speedup <= 1.02 * target


def test_gradual_pruning_follows_the_polynomial():
    schedule = spp.GradualSchedule(updates=4, power=3, frequency=2)
    _, pruned, counts = pruned_by(schedule, 12)
    shares = [1 - (1 - t / 4) ** 3 for t in range(5)]
    expected = [int(np.ceil(8 * s - 1e-4) + np.ceil(16 * s - 1e-4)) for s in shares]
    assert counts == [0, 0, *np.repeat(expected[1:], 2), 24, 24]
    assert set(spp.Pruner(pruned).probabilities().numpy()) == {0.0, 1.0}


def test_a_gradual_schedule_gets_a_frequency_for_the_first_tenth_of_training():
    *_, counts = pruned_by(spp.GradualSchedule(updates=5, power=1), 201)
    assert counts[3] == 0 < counts[4] and counts[19] < 24 == counts[20]


@keras.saving.register_keras_serializable(package="tests")
class Halved(spp.OneShotSchedule):
    """A schedule of the user's own."""

    def move(self, p, scores, sets, made):
        return super().move(p, scores, sets._replace(goal=sets.goal // 2), made)


class Unregistered(spp.OneShotSchedule):
    """One that Keras was not told of."""


def test_a_schedule_of_ones_own_survives_saving_if_it_is_registered(tmp_path):
    with pytest.warns(UserWarning, match="SPP has not met its target"):
        _, pruned, _ = pruned_by(Halved(), 2)
    pruned.save(tmp_path / "model.keras")
    loaded = spp.Pruner(keras.models.load_model(tmp_path / "model.keras"))
    assert type(loaded.schedule) is Halved
    _, pruned, _ = pruned_by(Unregistered(), 2)
    pruned.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="'Unregistered', which Keras does not know: decorate"):
        keras.models.load_model(tmp_path / "model.keras")


def test_the_alternatives_survive_saving(tmp_path):
    for schedule in (spp.GradualSchedule(updates=3, power=2.0), spp.OneShotSchedule(begin_step=2)):
        _, pruned, _ = pruned_by(schedule, 12)
        pruned.save(tmp_path / "model.keras")
        loaded = spp.Pruner(keras.models.load_model(tmp_path / "model.keras")).schedule
        assert type(loaded) is type(schedule) and vars(loaded) == vars(schedule)


def test_how_many_updates_a_gradual_schedule_still_needs():
    schedule = spp.GradualSchedule(updates=4, power=1, frequency=1)
    assert spp.Pruner(spp.prune(net(), 0.5, schedule=schedule)).updates_needed() == 4
    for steps, needed in ((2, 3), (3, 2), (5, 0)):
        _, pruned, _ = pruned_by(schedule, steps)
        assert spp.Pruner(pruned).updates_needed() == needed


@pytest.mark.parametrize(("name", "value"), [("updates", 0), ("power", 0), ("updates", 2.5)])
def test_gradual_arguments_outside_their_range_are_refused(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        spp.GradualSchedule(**{name: value})
