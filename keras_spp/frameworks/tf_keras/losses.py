"""Losses as `compile` takes them, alone or by output: found by name, described, computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tf_keras as keras

from keras_spp.frameworks.losses import Losses

_LOSSES = Losses(keras.losses, tf.nest.map_structure)
find_losses, describe_losses = _LOSSES.find, _LOSSES.describe


def compiled_loss(model: keras.Model, loss: Any) -> Callable[..., float]:
    """Compiles a model with a loss, and returns a function that computes it as `fit` does.

    So targets may be given by output, and be of shape (n,) beside outputs of shape (n, 1).

    Returns:
        A function of the outputs of one batch, of its targets and, if it has some, its weights.
    """
    model.compile(loss=loss)

    def computed(outputs: Any, *batch: Any) -> float:
        targets, *weights = tf.nest.map_structure(tf.convert_to_tensor, batch)
        return float(model.compiled_loss(targets, outputs, *weights))

    return computed
