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
    """The names by which a model takes a dict of inputs, in the order of `model.inputs`."""
    return _keys(model.input, model.input_names)


def output_keys(model: keras.Model) -> list[str]:
    """The names of a model's outputs, in the order of `model.outputs`."""
    return _keys(model.output, model.output_names)


def _keys(structure: Any, layer_names: Sequence[str]) -> list[str]:
    if isinstance(structure, Mapping) and len(structure) == len(layer_names):
        return sorted(structure)  # the order of tf.nest, hence of model.inputs
    return list(layer_names)


def input_sizes(
    model: keras.Model, given: Sequence[int] | Mapping[str, Sequence[int]] | None
) -> list[Sizes]:
    """The sizes of each input without the batch, in the order of `model.inputs`.

    Args:
        model: The model.
        given: The argument `input_shape`: sizes for the only input, or a dict from the names of
            inputs to theirs; None for none.

    Returns:
        What is given, and for other inputs what the model declares, None where it leaves a size
        open.

    Raises:
        ValueError: If `given` does not fit the model.

    Example:
        >>> model = keras.Sequential([keras.Input((None, None, 3)), keras.layers.ReLU()])
        >>> input_sizes(model, (8, 9, 3)), input_sizes(model, None)
        ([(8, 9, 3)], [(None, None, 3)])
    """
    keys = input_keys(model)
    names = valid_names(keys)
    if given is None:
        given = {}
    elif not isinstance(given, Mapping):
        if len(names) > 1:
            raise ValueError(
                f"`input_shape` must be a dict from input name to sizes for a model with the "
                f"inputs {', '.join(names)} but is {given!r}."
            )
        given = {names[0]: given}
    by_name = {dict(zip(keys, names, strict=True)).get(key, key): given[key] for key in given}
    if unknown := sorted(map(str, set(by_name) - set(names))):
        raise ValueError(
            f"`input_shape` must name inputs of the model ({', '.join(names)}) but names "
            f"{', '.join(unknown)}."
        )
    return [
        _sizes(name, tuple(tensor.shape[1:]), by_name.get(name))
        for name, tensor in zip(names, model.inputs, strict=True)
    ]


def _sizes(name: str, declared: Sizes, given: Any) -> Sizes:
    if given is None:
        return declared
    try:
        sizes = tuple(map(operator.index, given))  # NumPy's integers too, but no fractions
    except TypeError:
        sizes = ()
    if isinstance(given, str | bytes) or not sizes or min(sizes) < 1:
        raise ValueError(
            f"`input_shape` must be sizes of at least 1 for the input {name!r}, without the batch, "
            f"such as {example_sizes(declared)}, but is {given!r}."
        )
    if not tf.TensorShape(declared).is_compatible_with(sizes):
        raise ValueError(
            f"`input_shape` must fit the input {name!r}, {declared} without the batch, but is "
            f"{sizes}."
        )
    return sizes


def sizes_that_fit(model: keras.Model, sizes: Sequence[Sequence[Any]] | None) -> list[Sizes] | None:
    """Sizes of another model's inputs, if they are ones that this model takes; None otherwise."""
    if sizes is None or len(sizes) != len(model.inputs):
        return None
    for tensor, known in zip(model.inputs, sizes, strict=True):
        if not tensor.shape[1:].is_compatible_with(known):
            return None
    return [tuple(known) for known in sizes]


def check_taken(model: keras.Model, sizes: Sequence[Sizes]) -> None:
    """Checks that a model can be called on inputs of these sizes.

    Raises:
        ValueError: If it cannot.
    """
    if any(None in known for known in sizes):
        return
    specs = [
        tf.TensorSpec((tensor.shape[0] or 1, *known), tensor.dtype)
        for tensor, known in zip(model.inputs, sizes, strict=True)
    ]
    try:
        tf.function(
            lambda *inputs: model(tf.nest.pack_sequence_as(model.input, inputs), training=False)
        ).get_concrete_function(*specs)
    except Exception as error:  # whatever layers raise on sizes they were not made for
        said = ", ".join(map(str, sizes))
        raise ValueError(
            f"`input_shape` must be sizes that the model takes but is {said}, on which it fails "
            f"({layer_cause(error).rstrip('.')}): give others."
        ) from error
