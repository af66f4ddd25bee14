"""Scores that are functions of the user's own: whether keras.ops can compute them in a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from keras_spp.core import scores
from keras_spp.core.groups import Groups
from keras_spp.util.messages import first_line


def check_score(score: Any, groups: Groups) -> None:
    """Checks that a score can rank these groups.

    Args:
        score: A name of `keras_spp.core.scores`, or a function of a weight.
        groups: The model's groups.

    Raises:
        ValueError: If it cannot.
    """
    if callable(score):
        _check_function(score)
    scores.get(score).check(groups)


def _check_function(contribution: Callable) -> None:
    """Checks that a function works element by element, on tensors that are not known yet."""
    try:
        values = keras.ops.convert_to_tensor(contribution(keras.ops.ones((2, 3))))
        symbolic = contribution(keras.KerasTensor((2, 3), "float32"))
    except Exception as error:  # whatever a backend, or the user's function, raises
        raise ValueError(
            f"`score` must be made of functions of keras.ops of one weight but fails "
            f"({first_line(error)})."
        ) from error
    dtype = keras.backend.standardize_dtype(values.dtype)
    if tuple(symbolic.shape) != (2, 3) or dtype != "float32":
        raise ValueError(
            f"`score` must return what each element of a weight contributes, but for a float32 "
            f"weight of shape (2, 3) it returned shape and type {tuple(values.shape), dtype}."
        )
