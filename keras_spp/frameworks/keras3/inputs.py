"""Names, order and sizes of a Keras 3 model's inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras
import numpy as np

from keras_spp.core.channels import Sizes
from keras_spp.frameworks import inputs
from keras_spp.frameworks.keras3 import graph, private


def input_keys(model: keras.Model) -> list[str]:
    """Returns the keys of a model's dict of inputs, in the order of `model.inputs`."""
    names = [graph.input_layer(tensor).name for tensor in model.inputs]
    return inputs.keys(private.structures(model)[0], names)


def output_keys(model: keras.Model) -> list[str]:
    """Returns the names of a model's outputs, in the order of `model.outputs`."""
    return inputs.keys(private.structures(model)[1], private.functional(model).output_names)


def input_types(model: keras.Model) -> list[np.dtype]:
    """Returns the type of each input's elements, in the order of `model.inputs`."""
    return [np.dtype(object if x.dtype == "string" else x.dtype) for x in model.inputs]


def input_sizes(
    model: keras.Model, input_shape: Sequence[int] | Mapping[str, Sequence[int]] | None
) -> list[Sizes]:
    """Returns the sizes of each input without the batch, in the order of `model.inputs`.

    Args:
        model: The model.
        input_shape: Sizes for the only input, or a dict from the names of inputs to theirs; None
            for none.

    Raises:
        ValueError: If `input_shape` does not fit the model.
    """
    return inputs.sizes_of_inputs(input_keys(model), _declared(model), input_shape)


def sizes_that_fit(model: keras.Model, sizes: Sequence[Sequence] | None) -> list[Sizes] | None:
    """Returns the sizes of another model's inputs if this model takes them; otherwise None."""
    return inputs.that_fit(_declared(model), sizes)


def check_taken(model: keras.Model, sizes: Sequence[Sizes]) -> None:
    """Raises ValueError if a model cannot be called on inputs of these sizes.

    Raises:
        ValueError: If it cannot.
    """

    def attempt() -> None:
        tensors = [
            keras.KerasTensor((tensor.shape[0] or 1, *size), tensor.dtype)
            for tensor, size in zip(model.inputs, sizes, strict=True)
        ]
        structure, _ = private.structures(model)
        model.compute_output_spec(keras.tree.pack_sequence_as(structure, tensors))

    inputs.require_taken(sizes, attempt)


def _declared(model: keras.Model) -> list[Sizes]:
    return [tuple(tensor.shape[1:]) for tensor in model.inputs]
