"""Names, order and sizes of a tf_keras model's inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_spp.core.channels import Sizes
from keras_spp.frameworks import inputs
from keras_spp.frameworks.tf_keras.inference import forward


def input_keys(model: keras.Model) -> list[str]:
    """Returns the keys of a model's dict of inputs, in the order of `model.inputs`."""
    return inputs.keys(model.input, model.input_names)


def output_keys(model: keras.Model) -> list[str]:
    """Returns the names of a model's outputs, in the order of `model.outputs`."""
    return inputs.keys(model.output, model.output_names)


def input_types(model: keras.Model) -> list[np.dtype]:
    """Returns the type of each input's elements, in the order of `model.inputs`."""
    return [np.dtype(tensor.dtype.as_numpy_dtype) for tensor in model.inputs]


def input_sizes(
    model: keras.Model, input_shape: Sequence[int] | Mapping[str, Sequence[int]] | None
) -> list[Sizes]:
    """Returns the sizes of each input without the batch, in the order of `model.inputs`.

    Args:
        model: The model.
        input_shape: Sizes for the only input, or a dict from the names of inputs to theirs; None
            for none.

    Returns:
        The given sizes, and for other inputs those that the model declares, None where it leaves
        one open.

    Raises:
        ValueError: If `input_shape` does not fit the model.

    Example:
        >>> model = keras.Sequential([keras.Input((None, None, 3)), keras.layers.ReLU()])
        >>> input_sizes(model, (8, 9, 3)), input_sizes(model, None)
        ([(8, 9, 3)], [(None, None, 3)])
    """
    return inputs.sizes_of_inputs(input_keys(model), _declared(model), input_shape)


def sizes_that_fit(model: keras.Model, sizes: Sequence[Sequence[Any]] | None) -> list[Sizes] | None:
    """Returns the sizes of another model's inputs if this model takes them; otherwise None."""
    return inputs.that_fit(_declared(model), sizes)


def check_taken(model: keras.Model, sizes: Sequence[Sizes]) -> None:
    """Raises ValueError if a model cannot be called on inputs of these sizes.

    Raises:
        ValueError: If it cannot.
    """

    def attempt() -> None:
        specs = [
            tf.TensorSpec((tensor.shape[0] or 1, *size), tensor.dtype)
            for tensor, size in zip(model.inputs, sizes, strict=True)
        ]
        tf.function(lambda *given: forward(model, given)).get_concrete_function(*specs)

    inputs.require_taken(sizes, attempt)


def _declared(model: keras.Model) -> list[Sizes]:
    return [tuple(tensor.shape[1:]) for tensor in model.inputs]
