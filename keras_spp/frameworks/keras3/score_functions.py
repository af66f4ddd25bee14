"""Scores that are functions of the user's own, of keras.ops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from keras_spp.frameworks.score_functions import ScoreFunctions


def _compute(contribution: Callable) -> tuple[bool, tuple[Any, Any]]:
    values = keras.ops.convert_to_tensor(contribution(keras.ops.ones((2, 3))))
    symbolic = contribution(keras.KerasTensor((2, 3), "float32"))  # as compiled steps have it
    dtype = keras.backend.standardize_dtype(values.dtype)
    return tuple(symbolic.shape) == (2, 3) and dtype == "float32", (tuple(values.shape), dtype)


# Of errors, whatever a backend or the user's function raises.
check_score = ScoreFunctions("functions of keras.ops", (Exception,), _compute).check_score
