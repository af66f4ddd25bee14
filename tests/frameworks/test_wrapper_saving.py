"""Unfinished pruned models as files, configs and clones."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras as keras

import keras_spp as spp
from keras_spp.frameworks.tf_keras.wrapper import PruneSPP
from tests.helpers.states import assert_same_state
from tests.helpers.training import compiled, data, fit, prune, pruned_part_is_zero, state
from tests.helpers.wrappers import find_wrappers
from tests.zoo.models import relative_error

sparsity = tfmot.sparsity.keras
pytestmark = pytest.mark.filterwarnings("ignore:SPP has not met", "ignore:SPP will not reach")


def save_and_load(pruned, kind, folder):
    """The same model from a file, in a process that knows keras_spp."""
    if kind == "checkpoint":
        path = tf.train.Checkpoint(model=pruned).write(str(folder / "checkpoint"))
        fresh = compiled(prune(), keras.optimizers.Adam(0.01))
        fresh.optimizer.build(fresh.trainable_variables)
        tf.train.Checkpoint(model=fresh).read(path).assert_consumed()
        return fresh
    path = folder / f"model{kind}"
    pruned.save(path)
    return keras.models.load_model(path)


@pytest.mark.parametrize("kind", [".keras", ".h5", "checkpoint"])
def test_training_goes_on_bit_for_bit_after_saving_an_unfinished_model(kind, tmp_path):
    whole = compiled(prune(), keras.optimizers.Adam(0.01))
    fit(whole, 6)
    halfway = state(whole)
    loaded = save_and_load(whole, kind, tmp_path)
    assert_same_state(halfway, state(loaded))
    fit(whole, 6, start=6)
    fit(loaded, 6, start=6)
    assert spp.Pruner(whole).progress().pruned > 0, "the test should prune something"
    assert_same_state(state(whole), state(loaded))


def test_an_unfinished_model_survives_as_a_saved_model_except_for_its_optimizer(tmp_path):
    pruned = compiled(prune(), keras.optimizers.Adam(0.01))
    fit(pruned, 6)
    pruned.save(tmp_path / "model")
    loaded = keras.models.load_model(tmp_path / "model")
    # tf_keras itself restores no optimizer variables from this format.
    assert_same_state(state(pruned, optimizer=False), state(loaded, optimizer=False))
    x, _ = data(2)
    expected = pruned.predict(x, verbose=0)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), expected)
    serve = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    (served,) = serve(tf.constant(x)).values()
    np.testing.assert_allclose(served, expected, rtol=1e-5, atol=1e-6)
    fit(loaded, 40)
    assert spp.Pruner(loaded).progress().finished and pruned_part_is_zero(loaded)


def test_a_model_that_nothing_drives_yet_can_be_saved_as_a_saved_model(tmp_path):
    pruned = prune(frequency=None)
    pruned.save(tmp_path / "fresh", save_format="tf")
    pruned.save(tmp_path / "fresh.keras")
    loaded = keras.models.load_model(tmp_path / "fresh.keras")
    loaded.save(tmp_path / "again", save_format="tf")
    x, _ = data(2)
    for name in ("fresh", "again"):
        np.testing.assert_array_equal(keras.models.load_model(tmp_path / name)(x), pruned(x))


def test_a_loaded_model_says_what_is_missing_when_it_is_trained_without_the_callback(tmp_path):
    pruned = compiled(prune())
    pruned.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    with pytest.raises(RuntimeError, match=r"pass callbacks=\[spp.SPPCallback\(\)\] to fit"):
        fit(loaded, 2, [])
    fit(loaded, 2)


def test_saving_while_training_shows_its_progress_leaves_no_trace_of_that(tmp_path):
    pruned = compiled(prune())
    paths = [str(tmp_path / f"model{kind}") for kind in (".keras", ".h5", "")]
    savers = [keras.callbacks.ModelCheckpoint(path) for path in paths]
    fit(pruned, 6, [spp.SPPCallback(), *savers])
    for path in paths:
        loaded = keras.models.load_model(path)
        assert_same_state(state(pruned, optimizer=False), state(loaded, optimizer=False))
        assert len(loaded.evaluate(*data(1), verbose=0, return_dict=True)) == 1


def test_config_round_trip_of_a_wrapper_through_json():
    pruned = prune(score_decay=0.5, overshoot=0.2)
    copy = keras.models.model_from_json(pruned.to_json())
    for old, new in zip(find_wrappers(pruned), find_wrappers(copy), strict=True):
        assert type(new) is PruneSPP
        assert new.get_config() == old.get_config()
        assert type(new.pruning_schedule) is spp.SPPSchedule
        assert [v.shape for v in new.weights] == [v.shape for v in old.weights]


def test_clone_model_and_a_second_wrapper_per_layer_name_stay_apart():
    pruned = prune()
    clone = keras.models.clone_model(pruned)
    clone.set_weights(pruned.get_weights())
    assert relative_error(pruned, clone) == 0
    before = state(pruned, optimizer=False)
    fit(compiled(clone), 6)
    assert_same_state(before, state(pruned, optimizer=False))
