"""Inference of a model, on tensors and on arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras


def backend() -> str:
    """Returns the name of what models compute with."""
    return "tensorflow"


def forward(model: keras.Model, inputs: Sequence[Any]) -> list[Any]:
    """Computes a model's outputs, flat, from one tensor per input, in inference."""
    return tf.nest.flatten(model(tf.nest.pack_sequence_as(model.input, inputs), training=False))


def inference(model: keras.Model) -> Callable[[Sequence[np.ndarray]], list[np.ndarray]]:
    """Returns a function of one array per input that computes a model's outputs.

    Args:
        model: A functional or Sequential model.

    Returns:
        A compiled function: it takes arrays of shape (samples, ...) in the order of
        `model.inputs`, and returns arrays in the order of `model.outputs`.

    Example:
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> [array.shape for array in inference(model)([np.ones((5, 3))])]
        [(5, 2)]
    """
    infer = tf.function(lambda *inputs: forward(model, inputs))
    return lambda inputs: [tensor.numpy() for tensor in infer(*map(tf.constant, inputs))]
