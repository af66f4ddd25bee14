import numpy as np
import pytest

import keras_spp as spp
from tests.helpers.both_keras import L, array, keras
from tests.helpers.compared import relative_error
from tests.helpers.judged import net
from tests.helpers.random_weights import randomize
from tests.helpers.training import compiled

pytestmark = pytest.mark.usefixtures("keras")


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
    compiled(pruned, keras.optimizers.SGD(1e-4))
    data = np.ones((steps, 8, 8, 3)), np.ones((steps, 4, 4, 4))
    pruned.fit(*data, 1, verbose=0, callbacks=[spp.SPPCallback(), Count()], shuffle=False)
    return model, pruned, counts


def test_one_shot_prunes_the_lowest_norms_at_once_and_for_good():
    model, pruned, counts = pruned_by(spp.OneShotSchedule(begin_step=3), 8)
    assert counts == [0, 0, 0, 0, 24, 24, 24, 24]  # the update precedes the step's own counting
    for wrapper in spp.Pruner(pruned).wrappers:
        kernel = array(model.get_layer(wrapper.layer.name).kernel)
        norms = np.abs(kernel).sum(
            axis=tuple(i for i in range(kernel.ndim) if i != kernel.ndim - 2)
        )
        lowest = np.argsort(norms)[: len(norms) // 2]
        assert set(np.flatnonzero(array(wrapper.p) == 1)) == set(lowest), wrapper.layer.name
    assert relative_error(pruned, spp.shrink(pruned)) <= 2e-5


@pytest.mark.parametrize("target", [2.0, 4.0])
def test_one_shot_foresees_which_producers_pruned_columns_free(target):
    options = {"target_speedup": target, "granularity": "column", "round_to": 1}
    model = net("second")  # half of the second layer's channels are hardly read
    pruned = spp.prune(model, schedule=spp.OneShotSchedule(), **options)
    gradual = spp.Pruner(spp.prune(model, schedule=spp.GradualSchedule(), **options))
    assert spp.Pruner(pruned).sets.goal.sum() < gradual.sets.goal.sum()
    compiled(pruned, keras.optimizers.SGD(1e-6))
    pruned.fit(np.ones((6, 8, 8, 3)), np.ones((6, 5)), 2, verbose=0, callbacks=[spp.SPPCallback()])
    assert target <= spp.Pruner(pruned).progress().macs_speedup <= 1.02 * target


def test_gradual_pruning_follows_the_polynomial():
    schedule = spp.GradualSchedule(updates=4, power=3, frequency=2)
    _, pruned, counts = pruned_by(schedule, 12)
    shares = [1 - (1 - t / 4) ** 3 for t in range(5)]
    expected = [int(np.ceil(8 * s - 1e-4) + np.ceil(16 * s - 1e-4)) for s in shares]
    assert counts == [0, 0, *np.repeat(expected[1:], 2), 24, 24]
    assert set(array(spp.Pruner(pruned).probabilities())) == {0.0, 1.0}


def test_a_gradual_schedule_gets_a_frequency_for_the_first_tenth_of_training():
    *_, counts = pruned_by(spp.GradualSchedule(updates=5, power=1), 201)
    assert counts[3] == 0 < counts[4] and counts[19] < 24 == counts[20]


class Halved(spp.OneShotSchedule):
    """A schedule of the user's own."""

    def move(self, p, scores, sets, made):
        return super().move(p, scores, sets._replace(goal=sets.goal // 2), made)


class Unregistered(spp.OneShotSchedule):
    """One that Keras was not told of."""


def test_a_schedule_of_ones_own_survives_saving_if_it_is_registered(tmp_path):
    keras.saving.register_keras_serializable(package="tests")(Halved)
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
