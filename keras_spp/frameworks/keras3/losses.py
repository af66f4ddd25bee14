"""Losses as `compile` takes them, alone or by output: found by name, described, computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from keras_spp.frameworks.keras3 import private

_map = keras.tree.map_structure


def find_losses(loss: Any) -> Any:
    """Returns a structure of losses with functions and objects in the place of names."""
    return _map(keras.losses.get, loss)


def describe_losses(loss: Any) -> Any:
    """Returns a structure of losses with (name, config) in the place of each; functions have None.

    Functions of one name look alike.
    """
    return _map(_describe, loss)


def _describe(loss: Any) -> tuple[str, dict | None]:
    """Returns the name of a loss, and its config if it has one."""
    config = loss.get_config() if isinstance(loss, keras.losses.Loss) else None
    return getattr(loss, "name", getattr(loss, "__name__", "")), config


def compiled_loss(model: keras.Model, loss: Any) -> Callable[..., float]:
    """Compiles a model with a loss, and returns a function that computes it as `fit` does.

    So targets may be given by output, and be of shape (n,) beside outputs of shape (n, 1).

    Returns:
        A function of the outputs of one batch, of its targets and, if it has some, its weights.
    """
    model.compile(loss=loss)

    def computed(outputs: Any, *batch: Any) -> float:
        tensors = _map(keras.ops.convert_to_tensor, (outputs, *batch))
        return float(private.loss_of_outputs(model, *tensors))

    return computed
