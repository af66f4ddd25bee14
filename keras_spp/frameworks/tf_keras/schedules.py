"""Schedules as Keras and tfmot know them: by their names in saved models, and by their class."""

from __future__ import annotations

import tensorflow_model_optimization as tfmot
import tf_keras as keras

from keras_spp.core.schedule import GradualSchedule, OneShotSchedule, Schedule, SPPSchedule

__all__ = ["GradualSchedule", "OneShotSchedule", "SPPSchedule"]

Schedule.saved_by(keras.saving)
tfmot.sparsity.keras.PruningSchedule.register(Schedule)
for _kind in (SPPSchedule, GradualSchedule, OneShotSchedule):
    keras.saving.register_keras_serializable(package="keras_spp")(_kind)
