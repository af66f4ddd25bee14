"""Names and order of inputs and outputs, in the model and in the file."""

from __future__ import annotations

import operator
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
import tf_keras as keras
from ai_edge_litert import schema_py_generated as schema

from keras_spp.util.messages import layer_cause

Sizes = tuple[int | None, ...]

_TYPE_NAMES = {
    value: name.lower() for name, value in vars(schema.TensorType).items() if name.isupper()
}


@dataclass(frozen=True)
class TensorInfo:
    """One input or output of an exported file.

    Attributes:
        name: Its name in the file's signature.
        shape: Its sizes, the batch first; -1 where a size is only known at run time.
        dtype: Its type, such as "float32".
        scale: What one unit of an integer stands for, `scale * (value - zero_point)`; None where
            values stand for themselves.
        zero_point: The integer that stands for 0, or None.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None = None
    zero_point: int | None = None

    def __str__(self) -> str:
        real = "" if self.scale is None else f", {self.scale:.6g} * (value - {self.zero_point})"
        return f"{self.name} {self.shape} {self.dtype}{real}"


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


def valid_names(keys: Sequence[str]) -> list[str]:
    """Returns unique names that TensorFlow's signatures accept as they are."""
    names: list[str] = []
    for key in keys:
        name = re.sub(r"[^0-9A-Za-z_]", "_", str(key))
        name = name if name[0].isalpha() else f"arg_{name}"
        while name in names:
            name += "_"
        names.append(name)
    return names


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
            f"such as {example(declared)}, but is {given!r}."
        )
    if not tf.TensorShape(declared).is_compatible_with(sizes):
        raise ValueError(
            f"`input_shape` must fit the input {name!r}, {declared} without the batch, but is "
            f"{sizes}."
        )
    return sizes


def example(declared: Sizes) -> Sizes:
    """Sizes that could be given for an input."""
    return tuple(size or 32 for size in declared)


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


def arrange(
    buffer: bytearray, input_names: Sequence[str], output_names: Sequence[str]
) -> tuple[tuple[TensorInfo, ...], tuple[TensorInfo, ...]]:
    """Puts the file's inputs and outputs into the model's order, in place, and describes them.

    The converter sorts them by name or as the graph happens to lie; only the signature tells
    which is which. It points to tensors, so permuting the graph's own lists leaves it valid.
    """
    file = schema.Model.GetRootAs(buffer, 0)
    if not file.SignatureDefsLength():
        raise ValueError(
            "`model` uses state that cannot be frozen, such as a lookup table, or the folder for "
            f"temporary files, {tempfile.gettempdir()!r}, has no room for a copy of it: remove the "
            "layer that owns the state, or make room."
        )
    graph, signature = file.Subgraphs(0), file.SignatureDefs(0)

    def describe(name: str, index: int) -> TensorInfo:
        tensor = graph.Tensors(index)
        shape = [] if tensor.ShapeIsNone() else tensor.ShapeAsNumpy().tolist()
        if not tensor.ShapeSignatureIsNone():  # has -1 where the shape has a stand-in
            shape = tensor.ShapeSignatureAsNumpy().tolist()
        dtype, stored = _TYPE_NAMES[tensor.Type()], tensor.Quantization()
        if stored is None or not stored.ScaleLength() or not dtype.lstrip("u").startswith("int"):
            return TensorInfo(name, tuple(shape), dtype)
        return TensorInfo(name, tuple(shape), dtype, stored.Scale(0), stored.ZeroPoint(0))

    def permute(names: Sequence[str], entries: list[Any], stored: Any) -> tuple[TensorInfo, ...]:
        indices = {entry.Name().decode(): entry.TensorIndex() for entry in entries}
        stored[:] = [indices[name] for name in names]
        return tuple(describe(name, indices[name]) for name in names)

    inputs = [signature.Inputs(i) for i in range(signature.InputsLength())]
    outputs = [signature.Outputs(i) for i in range(signature.OutputsLength())]
    return (
        permute(input_names, inputs, graph.InputsAsNumpy()),
        permute(output_names, outputs, graph.OutputsAsNumpy()),
    )


def keeps_state(buffer: bytes | bytearray) -> bool:
    """Whether a file has variables, which live on from one invocation to the next."""
    file = schema.Model.GetRootAs(buffer, 0)
    graphs = [file.Subgraphs(index) for index in range(file.SubgraphsLength())]
    return any(
        graph.Tensors(index).IsVariable()
        for graph in graphs
        for index in range(graph.TensorsLength())
    )
