"""Names, order and sizes of a model's inputs and outputs."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from keras_spp.core.channels import Sizes
from keras_spp.util.messages import example_sizes, layer_cause
from keras_spp.util.names import valid_names


def input_keys(model: keras.Model) -> list[str]:
    """Returns the keys of a model's dict of inputs, in the order of `model.inputs`."""
    return _keys(model.input, model.input_names)


def output_keys(model: keras.Model) -> list[str]:
    """Returns the names of a model's outputs, in the order of `model.outputs`."""
    return _keys(model.output, model.output_names)


def _keys(structure: Any, layer_names: Sequence[str]) -> list[str]:
    if isinstance(structure, Mapping) and len(structure) == len(layer_names):
        return sorted(structure)  # the order of tf.nest, hence of model.inputs
    return list(layer_names)


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
    keys = input_keys(model)
    names = valid_names(keys)
    if input_shape is None:
        input_shape = {}
    elif not isinstance(input_shape, Mapping):
        if len(names) > 1:
            raise ValueError(
                f"`input_shape` must be a dict from input name to sizes for a model with the "
                f"inputs {', '.join(names)} but is {input_shape!r}."
            )
        input_shape = {names[0]: input_shape}
    renamed = dict(zip(keys, names, strict=True))
    by_name = {renamed.get(key, key): sizes for key, sizes in input_shape.items()}
    if unknown := sorted(map(str, set(by_name) - set(names))):
        raise ValueError(
            f"`input_shape` must name inputs of the model ({', '.join(names)}) but names "
            f"{', '.join(unknown)}."
        )
    return [
        _sizes(name, tuple(tensor.shape[1:]), by_name.get(name))
        for name, tensor in zip(names, model.inputs, strict=True)
    ]


def _sizes(name: str, declared: Sizes, input_shape: Any) -> Sizes:
    if input_shape is None:
        return declared
    try:
        sizes = tuple(map(operator.index, input_shape))  # NumPy's integers too, but no fractions
    except TypeError:
        sizes = ()
    if isinstance(input_shape, str | bytes) or not sizes or min(sizes) < 1:
        raise ValueError(
            f"`input_shape` must be sizes of at least 1 for the input {name!r}, without the batch, "
            f"such as {example_sizes(declared)}, but is {input_shape!r}."
        )
    if not tf.TensorShape(declared).is_compatible_with(sizes):
        raise ValueError(
            f"`input_shape` must fit the input {name!r}, {declared} without the batch, but is "
            f"{sizes}."
        )
    return sizes


def sizes_that_fit(model: keras.Model, sizes: Sequence[Sequence[Any]] | None) -> list[Sizes] | None:
    """Returns the sizes of another model's inputs if this model takes them; otherwise None."""
    if sizes is None or len(sizes) != len(model.inputs):
        return None
    for tensor, size in zip(model.inputs, sizes, strict=True):
        if not tensor.shape[1:].is_compatible_with(size):
            return None
    return [tuple(size) for size in sizes]


def check_taken(model: keras.Model, sizes: Sequence[Sizes]) -> None:
    """Raises ValueError if a model cannot be called on inputs of these sizes.

    Raises:
        ValueError: If it cannot.
    """
    if any(None in size for size in sizes):
        return
    specs = [
        tf.TensorSpec((tensor.shape[0] or 1, *size), tensor.dtype)
        for tensor, size in zip(model.inputs, sizes, strict=True)
    ]
    try:
        tf.function(
            lambda *inputs: model(tf.nest.pack_sequence_as(model.input, inputs), training=False)
        ).get_concrete_function(*specs)
    except Exception as error:  # whatever layers raise on sizes they were not made for
        listed = ", ".join(map(str, sizes))
        raise ValueError(
            f"`input_shape` must be sizes that the model takes but is {listed}, on which it fails "
            f"({layer_cause(error).rstrip('.')}): give others."
        ) from error
