"""How a TFLite file stores numbers, and the samples from which their ranges are taken."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_spp.export.options import IO_TYPES
from keras_spp.export.samples import arrays, chunks
from keras_spp.export.specs import Spec
from keras_spp.frameworks.interface import Model

# A few hundred samples are enough for the ranges of activations:
# https://ai.google.dev/edge/litert/models/post_training_integer_quant
CALIBRATION = 256

_OPERATIONS = {
    value: name for name, value in vars(schema.BuiltinOperator).items() if name.isupper()
}
_FLOATS = (schema.TensorType.FLOAT32, schema.TensorType.FLOAT16)
_AT_THE_ENDS = ("QUANTIZE", "DEQUANTIZE")


def calibration_batches(
    model: Model, specs: Sequence[Spec], data: Any
) -> list[dict[str, np.ndarray]]:
    """Returns the first `CALIBRATION` samples of the data, in batches of the file's inputs."""
    shapes = [tuple(spec.shape[1:]) for spec in specs]
    size = specs[0].shape[0]

    def cut() -> Iterator[dict[str, np.ndarray]]:
        for inputs, _ in arrays(model, data, shapes):
            for batch, _ in chunks(inputs, size):
                yield {spec.name: array for spec, array in zip(specs, batch, strict=True)}

    batches = list(itertools.islice(cut(), -(-CALIBRATION // size)))
    if not batches:
        raise ValueError("`representative_data` must hold at least one sample but holds none.")
    return batches


def needs_samples(graph: Any, quantization: str, given: bool) -> bool:
    """Tells whether ranges must be taken from data; raises ValueError if there is none."""
    if quantization not in IO_TYPES or (not given and is_quantization_aware(graph)):
        return False
    if not given:
        raise ValueError(
            f"`representative_data` must be given for quantization {quantization!r} but is None: "
            "give some hundred samples as the model will see them."
        )
    return True


def is_quantization_aware(graph: Any) -> bool:
    """Tells whether a graph carries ranges of its own, as after tfmot's `quantize_model`."""
    return any("FakeQuant" in operation.type for operation in graph.get_operations())


def check_model(
    graph: Any, specs: Sequence[Spec], quantization: str, types: dict[str, str]
) -> None:
    """Raises ValueError if a traced model does not fit the quantization.

    Args:
        graph: The graph of the model's inference.
        specs: Its inputs.
        quantization: One of `QUANTIZATIONS`.
        types: "input_type" and "output_type".
    """
    if is_quantization_aware(graph) and quantization != "int8":
        raise ValueError(
            f"`quantization` must be 'int8' for a model that was trained for it with tfmot's "
            f"quantize_model() but is {quantization!r}."
        )
    sides = {"input_type": specs, "output_type": list(graph.structured_outputs.values())}
    for name, tensors in sides.items():
        for tensor in tensors:
            if types[name] != "float32" and tensor.dtype.name != "float32":
                raise ValueError(
                    f"`{name}` must be 'float32', which means as the model has it, because "
                    f"{tensor.name!r} is {tensor.dtype.name} but is {types[name]!r}."
                )


def _operations(buffer: bytes | bytearray) -> Iterator[tuple[str, bool]]:
    """Yields the name of each operation in a file, and whether it computes with floats."""
    file = schema.Model.GetRootAs(buffer, 0)
    for graph in (file.Subgraphs(index) for index in range(file.SubgraphsLength())):
        for operation in (graph.Operators(index) for index in range(graph.OperatorsLength())):
            code = file.OperatorCodes(operation.OpcodeIndex())
            tensors = [*operation.InputsAsNumpy(), *operation.OutputsAsNumpy()]
            floats = any(graph.Tensors(at).Type() in _FLOATS for at in tensors if at >= 0)
            # Codes above 126 do not fit the older field, which then says 127.
            yield _OPERATIONS[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())], floats


def check_file(buffer: bytes | bytearray, quantization: str, calibrated: bool) -> None:
    """Raises ValueError if a file has floats or overflows, which the converter does not report.

    It leaves some operations in float, and writes infinite scales where activations overflow.

    Args:
        buffer: The file's content.
        quantization: "int8" or "int16x8", for the message.
        calibrated: Whether ranges were taken from data.
    """
    floats = {name for name, floats in _operations(buffer) if floats}.difference(_AT_THE_ENDS)
    if floats and not calibrated:
        raise ValueError(
            f"`representative_data` must be given because the training for quantization has left "
            f"{', '.join(sorted(floats))} without ranges but is None."
        )
    if floats:
        raise no_kernels(quantization, floats)
    file = schema.Model.GetRootAs(buffer, 0)
    for graph in (file.Subgraphs(index) for index in range(file.SubgraphsLength())):
        for tensor in (graph.Tensors(index) for index in range(graph.TensorsLength())):
            stored = tensor.Quantization()
            if stored and stored.ScaleLength() and not np.isfinite(stored.ScaleAsNumpy()).all():
                raise ValueError(
                    "`representative_data` must keep all numbers in the model finite but "
                    f"{tensor.Name().decode()!r} overflows."
                )


def no_kernels(quantization: str, operations: Iterable[str]) -> ValueError:
    """Returns the error for operations that TFLite cannot compute with integers."""
    return ValueError(
        f"`quantization` must be one for which TFLite has all kernels but {quantization!r} has "
        f"none for {', '.join(sorted(set(operations)))}: use another one or replace these "
        "operations."
    )
