"""Schedules by name for benchmarks/accuracy.py: the library's, and variants to learn from."""

from __future__ import annotations

from typing import Any
from unittest import mock

import keras_spp as spp  # isort: skip  (first: it makes sure that tf.keras is tf_keras)

import tensorflow as tf
import tf_keras as keras

from keras_spp import probability
from keras_spp.probability import Sets

Moved = tuple[tf.Tensor, tf.Tensor]


@keras.saving.register_keras_serializable(package="benchmarks")
class NeverFalls(spp.SPPSchedule):
    """No p falls: a group that recovers its importance does not recover its place."""

    def move(self, p: tf.Tensor, scores: tf.Tensor, sets: Sets, made: tf.Tensor) -> Moved:
        increment = probability.increment

        def rise(*args: Any, **kwargs: Any) -> tf.Tensor:
            return tf.maximum(increment(*args, **kwargs), 0.0)

        with mock.patch.object(probability, "increment", rise):
            return super().move(p, scores, sets, made)


@keras.saving.register_keras_serializable(package="benchmarks")
class Unscaled(spp.SPPSchedule):
    """Survivors keep their weights when a set has met its goal, not (1 - p) times them."""

    def move(self, p: tf.Tensor, scores: tf.Tensor, sets: Sets, made: tf.Tensor) -> Moved:
        p, scale = super().move(p, scores, sets, made)
        return p, tf.where(scale > 0, 1.0, scale)


SCHEDULES: dict[str, Any] = {
    "one_shot": spp.OneShotSchedule,
    "gradual": spp.GradualSchedule,
    "spp": spp.SPPSchedule,
    "never_falls": NeverFalls,
    "unscaled": Unscaled,
}
