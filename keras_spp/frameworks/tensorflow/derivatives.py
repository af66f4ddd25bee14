"""Derivatives of a number by variables of TensorFlow, for both Keras."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf


def derivatives(
    scalar: Callable[..., Any], variables: Sequence[tf.Variable]
) -> Callable[..., list[np.ndarray]]:
    """Returns a function that differentiates another one by variables that it reads.

    Args:
        scalar: A function of tensors that returns one number.
        variables: The variables.

    Returns:
        A function of the same tensors: the derivatives, each of its variable's shape; zeros by
        variables that are not read.
    """

    @tf.function(reduce_retracing=True)
    def computed(*tensors: Any) -> list[tf.Tensor]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            result = scalar(*tensors)
        gradients = tape.gradient(result, variables, unconnected_gradients="zero")
        return [tf.convert_to_tensor(gradient) for gradient in gradients]  # of an embedding, slices

    return lambda *tensors: [gradient.numpy() for gradient in computed(*tensors)]
