"""Losses as `compile` takes them, alone or by output: found by name, described, computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from keras_spp.frameworks.keras3 import private
from keras_spp.frameworks.losses import Losses

_LOSSES = Losses(keras.losses, keras.tree.map_structure)
find_losses, describe_losses = _LOSSES.find, _LOSSES.describe


def compiled_loss(model: keras.Model, loss: Any) -> Callable[..., float]:
    """Compiles a model with a loss, and returns a function that computes it as `fit` does.

    So targets may be given by output, and be of shape (n,) beside outputs of shape (n, 1).

    Returns:
        A function of the outputs of one batch, of its targets and, if it has some, its weights.
    """
    model.compile(loss=loss)

    def computed(outputs: Any, *batch: Any) -> float:
        tensors = keras.tree.map_structure(keras.ops.convert_to_tensor, (outputs, *batch))
        return float(private.loss_of_outputs(model, *tensors))

    return computed
