"""Schedules as Keras 3 knows them: by their names in saved models."""

from __future__ import annotations

import keras

from keras_spp.core.schedule import GradualSchedule, OneShotSchedule, Schedule, SPPSchedule

__all__ = ["GradualSchedule", "OneShotSchedule", "SPPSchedule"]

Schedule.saved_by(keras.saving)
for _kind in (SPPSchedule, GradualSchedule, OneShotSchedule):
    keras.saving.register_keras_serializable(package="keras_spp")(_kind)
