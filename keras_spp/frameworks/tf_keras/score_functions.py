"""Scores that are functions of the user's own, of TensorFlow's functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_spp.frameworks.score_functions import ScoreFunctions


def _compute(contribution: Callable) -> tuple[bool, tuple[Any, Any]]:
    values = tf.function(contribution)(tf.ones([2, 3]))
    got = getattr(values, "shape", None), getattr(values, "dtype", type(values))
    return tf.is_tensor(values) and got[0] == (2, 3) and got[1] == tf.float32, got


check_score = ScoreFunctions(
    "TensorFlow functions", (TypeError, ValueError, NotImplementedError), _compute
).check_score
