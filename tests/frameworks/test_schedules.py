import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras as keras

import keras_spp as spp

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


def test_it_is_a_pruning_schedule_of_tfmot():
    assert isinstance(spp.SPPSchedule(), sparsity.PruningSchedule)


def test_updates_are_due_every_frequency_steps_after_begin_step_and_never_before_training():
    schedule = spp.SPPSchedule(frequency=4, begin_step=3)
    due = [step for step in range(20) if bool(schedule(tf.constant(step))[0])]
    assert due == [7, 11, 15, 19]
    assert not spp.SPPSchedule(frequency=1)(0)[0]


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
