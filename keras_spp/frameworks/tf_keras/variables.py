"""Variables of tf_keras: under mixed precision, on several replicas, as attributes of layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from keras_spp.frameworks.tf_keras import private


def raw(variable: tf.Variable) -> tf.Variable:
    """Returns the variable in its own dtype, under mixed precision too."""
    return private.without_autocast(variable)


def copies(variable: Any) -> list[tf.Variable]:
    """Returns the variable of each local replica, in their order."""
    variable = raw(variable)
    return list(getattr(variable, "values", [variable]))


def host(variable: tf.Variable) -> np.ndarray:
    """Returns a variable's value as an array."""
    return raw(variable).numpy()


def write(variable: tf.Variable, value: np.ndarray) -> None:
    """Gives a variable a value, rounded to its own type."""
    variable = raw(variable)
    variable.assign(tf.cast(value, variable.dtype))
