"""A target that pruning reaches before all of its groups are gone."""

import warnings

import numpy as np
import pytest

import keras_spp as spp
from tests.helpers.both_keras import L, array, keras
from tests.helpers.random_weights import randomize
from tests.helpers.recorded import recorded, spp_warnings
from tests.helpers.slow import slow_but
from tests.helpers.states import assert_same_state
from tests.helpers.training import compiled, fit, plain_net, sgd, state

pytestmark = pytest.mark.usefixtures("keras")


def lopsided():
    """Columns that read every second channel weigh next to nothing: they go first, and free
    their producers, which the goals do not foresee."""
    model = plain_net()
    for name in ("inner", "last"):
        kernel = model.get_layer(name).kernel
        kernel.assign(kernel * np.where(np.arange(kernel.shape[2]) % 2, 1, 0.01)[:, None])
    return model


def columns(target=2.0):
    schedule = spp.SPPSchedule(A=0.1, frequency=1)
    options = {"granularity": "column", "schedule": schedule, "round_to": 1}
    return compiled(spp.prune(lopsided(), target_speedup=target, **options), sgd(0.001))


def test_columns_are_pruned_no_further_than_to_the_target_speedup():
    pruned = columns()
    history = fit(pruned, 150).history
    progress = spp.Pruner(pruned).progress()
    assert progress.finished and progress.pruned < progress.goal
    assert 2 <= progress.macs_speedup < 2.3
    assert history["macs_speedup"] == [progress.macs_speedup]
    assert history["groups_decided"] == [1.0]
    assert set(array(spp.Pruner(pruned).probabilities())) == {0, 1}


def test_a_run_that_reaches_the_target_with_its_last_step_is_finished():
    recorder = recorded()
    fit(columns(), 150, [spp.SPPCallback(), recorder])
    reached = next(p.step for p in recorder.progress if p.macs_speedup >= 2)
    pruned = columns()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(pruned, reached)
    assert not [message for message in spp_warnings(caught) if "has not met" in message]
    assert spp.Pruner(pruned).progress().finished
    assert set(array(spp.Pruner(pruned).probabilities())) == {0, 1}


@pytest.mark.parametrize("order", slow_but([1, -1], [1]))  # of saving and of the callback
def test_a_model_saved_at_the_step_that_reaches_the_target_goes_on_bit_for_bit(order, tmp_path):
    recorder, whole = recorded(), columns()
    fit(whole, 150, [spp.SPPCallback(), recorder])
    reached = next(p.step for p in recorder.progress if p.macs_speedup >= 2)

    class Save(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch + 1 == reached:
                self.model.save(tmp_path / "model.keras")

    fit(columns(), 150, [Save(), spp.SPPCallback()][::order])
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert not spp.Pruner(loaded).progress().finished
    fit(loaded, 150 - reached, start=reached)
    assert_same_state(state(whole), state(loaded))


def test_with_channels_the_target_is_met_and_survivors_are_whole_blocks():
    x = inputs = keras.Input((6, 6, 3))
    for name in ("a", "b", "c"):
        x = L.Conv2D(32, 3, padding="same", activation="relu", name=name)(x)
    model = randomize(keras.Model(inputs, L.Dense(4)(L.GlobalAveragePooling2D()(x))))
    schedule = spp.SPPSchedule(A=0.3, frequency=1)
    pruned = compiled(spp.prune(model, target_speedup=2.0, round_to=8, schedule=schedule))
    fit(pruned, 60)
    small = spp.shrink(pruned)
    assert spp.Pruner(pruned).progress().macs_speedup >= 2
    assert [small.get_layer(name).filters % 8 for name in ("a", "b", "c")] == [0, 0, 0]
