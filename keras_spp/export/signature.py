"""Names and order of inputs and outputs in an exported file."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ai_edge_litert import schema_py_generated as schema

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


def arrange(
    buffer: bytearray, input_names: Sequence[str], output_names: Sequence[str]
) -> tuple[tuple[TensorInfo, ...], tuple[TensorInfo, ...]]:
    """Puts a file's inputs and outputs into the model's order, in place, and describes them.

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
    """Tells whether a file has variables, which keep their values between invocations."""
    file = schema.Model.GetRootAs(buffer, 0)
    graphs = [file.Subgraphs(index) for index in range(file.SubgraphsLength())]
    return any(
        graph.Tensors(index).IsVariable()
        for graph in graphs
        for index in range(graph.TensorsLength())
    )
