"""Inference of a model: compiled where the backend compiles functions, else as Keras predicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_spp.frameworks.keras3 import private
from keras_spp.frameworks.keras3.graph import layers


def backend() -> str:
    """Returns the name of what models compute with, which Keras has chosen."""
    return keras.backend.backend()


def forward(model: keras.Model, inputs: Sequence[Any]) -> list[Any]:
    """Computes a model's outputs, flat, from one tensor per input, in inference."""
    structure, _ = private.structures(model)
    packed = keras.tree.pack_sequence_as(structure, list(inputs))
    return keras.tree.flatten(model(packed, training=False))


def compiled(model: keras.Model) -> Callable[[Any], Any]:
    """Returns a function of a model's inputs, in their structure, that computes the outputs."""
    if keras.backend.backend() == "tensorflow":
        # `predict` would have XLA compile it, which takes longer than some batches.
        import tensorflow as tf

        return tf.function(lambda inputs: model(inputs, training=False))
    return model.predict_on_batch


def inference(model: keras.Model) -> Callable[[Sequence[np.ndarray]], list[np.ndarray]]:
    """Returns a function of one array per input that computes a model's outputs.

    Args:
        model: A functional or Sequential model.

    Returns:
        A compiled function: it takes arrays of shape (samples, ...) in the order of
        `model.inputs`, and returns arrays in the order of `model.outputs`.
    """
    infer, (structure, _) = compiled(model), private.structures(model)

    def arrays(inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        packed = keras.tree.pack_sequence_as(structure, list(map(np.asarray, inputs)))
        return [keras.ops.convert_to_numpy(x) for x in keras.tree.flatten(infer(packed))]

    return arrays


def reset(model: keras.Model) -> None:
    """Lets a model's stateful layers take what comes next for the beginning of a sequence."""
    for layer in layers(model):
        if getattr(layer, "stateful", False):
            layer.reset_state()
