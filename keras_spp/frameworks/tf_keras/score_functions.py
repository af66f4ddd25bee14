"""Scores that are functions of the user's own: whether TensorFlow can compute them in a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

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
    """Checks that a function works element by element."""
    try:
        values = tf.function(contribution)(tf.ones([2, 3]))
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ValueError(
            f"`score` must be made of TensorFlow functions of one weight but fails "
            f"({first_line(error)})."
        ) from error
    if not tf.is_tensor(values) or values.shape != (2, 3) or values.dtype != tf.float32:
        got = getattr(values, "shape", None), getattr(values, "dtype", type(values))
        raise ValueError(
            f"`score` must return what each element of a weight contributes, but for a float32 "
            f"weight of shape (2, 3) it returned shape and type {got}."
        )
