"""Export of a model to a TFLite file that runs on phones and small boards."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf
import tf_keras as keras
from ai_edge_litert import schema_py_generated as schema

from keras_spp.checks import check_integer
from keras_spp.compat import require_tf_keras_model
from keras_spp.files import atomic_path

QUANTIZATIONS = ("none", "dynamic")

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
    """

    name: str
    shape: tuple[int, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{self.name} {self.shape} {self.dtype}"


@dataclass(frozen=True)
class ExportReport:
    """What `export_tflite` wrote.

    Attributes:
        path: The file.
        bytes: Its size in bytes.
        quantization: How its weights are stored.
        batch_size: The number of examples per invocation.
        inputs: Its inputs, in the order of the model's.
        outputs: Its outputs, in the order of the model's.
    """

    path: Path
    bytes: int
    quantization: str
    batch_size: int
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]

    def __str__(self) -> str:
        head = f"{self.path}: {self.bytes:,} bytes, quantization {self.quantization!r}"
        lines = [f"  input  {tensor}" for tensor in self.inputs]
        return "\n".join([head, *lines, *(f"  output {tensor}" for tensor in self.outputs)])

    def to_dict(self) -> dict[str, Any]:
        """Returns the report as plain Python values, ready for JSON."""
        tensors = {
            side: [{**asdict(t), "shape": list(t.shape)} for t in getattr(self, side)]
            for side in ("inputs", "outputs")
        }
        return {**asdict(self), "path": str(self.path), **tensors}


def export_tflite(
    model: keras.Model,
    path: str | os.PathLike[str],
    quantization: str = "none",
    *,
    batch_size: int = 1,
    input_shape: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
) -> ExportReport:
    """Converts a model to a TFLite file.

    The file computes what `model(inputs, training=False)` computes, with the variables frozen
    into constants and all sizes fixed, which is what TFLite's CPU kernels (XNNPACK) run fastest.
    Its inputs and outputs keep the order of the model's, by position, and carry the model's
    names in the signature "serving_default"; the keys of a dict of inputs or outputs count as
    names, and what is neither letter, digit nor underscore in a name becomes an underscore.

    The file is written beside `path` first and then moved, so a failed export leaves a previous
    file as it was. A path that cannot be written is reported before the conversion starts.

    Args:
        model: A functional or built Sequential tf_keras model with any number of inputs and
            outputs. It is not modified.
        path: Where to write; the folder must exist.
        quantization: "none" keeps float32 weights; "dynamic" stores the larger weights as int8
            with float32 inputs and outputs, which makes the file about four times smaller.
        batch_size: The number of examples per invocation, at least 1.
        input_shape: The input's sizes without the batch, for a model that leaves some of them
            open (None); a dict from input name to sizes for a model with several inputs.

    Returns:
        An `ExportReport`: the file's size, and the names, shapes and types of its tensors.

    Raises:
        TypeError: If `model` is not a tf_keras model.
        ValueError: If `quantization`, `batch_size` or `input_shape` do not fit, if the model is
            subclassed, not built or computes in float16, or if TFLite lacks an operation it uses.
        OSError: If `path` cannot be written.

    Example:
        >>> import os, tempfile
        >>> import tf_keras as keras
        >>> model = keras.Sequential([keras.layers.Dense(2, input_shape=(3,))])
        >>> path = os.path.join(tempfile.mkdtemp(), "dense.tflite")
        >>> export_tflite(model, path).outputs[0].shape
        (1, 2)
    """
    require_tf_keras_model(model)
    if quantization not in QUANTIZATIONS:
        choices = ", ".join(map(repr, QUANTIZATIONS))
        raise ValueError(f"`quantization` must be one of {choices} but is {quantization!r}.")
    check_integer("batch_size", batch_size, 1)
    input_names = _names(model.input, model.input_names)
    output_names = _names(model.output, model.output_names)
    specs = _input_specs(model, input_names, batch_size, input_shape)
    with atomic_path(path) as temporary:
        with _explained():
            buffer = _convert(model, specs, output_names, quantization)
        inputs, outputs = _order(buffer, input_names, output_names)
        temporary.write_bytes(buffer)
    return ExportReport(Path(path), len(buffer), quantization, batch_size, inputs, outputs)


def _names(structure: Any, layer_names: Sequence[str]) -> list[str]:
    """Returns unique names that TensorFlow's signatures accept as they are."""
    if isinstance(structure, Mapping) and len(structure) == len(layer_names):
        layer_names = sorted(structure)  # the order of tf.nest, hence of model.inputs
    names: list[str] = []
    for name in layer_names:
        name = re.sub(r"[^0-9A-Za-z_]", "_", str(name))
        name = name if name[0].isalpha() else f"arg_{name}"
        while name in names:
            name += "_"
        names.append(name)
    return names


def _input_specs(
    model: keras.Model,
    names: Sequence[str],
    batch_size: int,
    input_shape: Sequence[int] | Mapping[str, Sequence[int]] | None,
) -> list[tf.TensorSpec]:
    given: Mapping[str, Sequence[int]]
    if input_shape is None:
        given = {}
    elif isinstance(input_shape, Mapping):
        given = input_shape
    elif len(names) == 1:
        given = {names[0]: input_shape}
    else:
        raise ValueError(
            f"`input_shape` must be a dict from input name to sizes for a model with the inputs "
            f"{', '.join(names)} but is {input_shape!r}."
        )
    if unknown := sorted(set(given) - set(names)):
        raise ValueError(
            f"`input_shape` must name inputs of the model ({', '.join(names)}) but names "
            f"{', '.join(unknown)}."
        )
    specs = []
    for name, tensor in zip(names, model.inputs, strict=True):
        declared = tuple(tensor.shape[1:])
        sizes = tuple(given.get(name, declared))
        if None in sizes:
            raise ValueError(
                f"`input_shape` is needed because the input {name!r} leaves sizes open, "
                f"{declared}: give all of them without the batch, such as "
                f"{tuple(size or 32 for size in declared)}."
            )
        if not tf.TensorShape(declared).is_compatible_with(sizes):
            raise ValueError(
                f"`input_shape` must fit the input {name!r}, {declared} without the batch, but is "
                f"{sizes}."
            )
        specs.append(tf.TensorSpec((batch_size, *sizes), tensor.dtype, name=name))
    return specs


def _convert(
    model: keras.Model,
    specs: Sequence[tf.TensorSpec],
    output_names: Sequence[str],
    quantization: str,
) -> bytearray:
    @tf.function
    def forward(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = model(tf.nest.pack_sequence_as(model.input, inputs), training=False)
        return dict(zip(output_names, tf.nest.flatten(outputs), strict=True))

    function = forward.get_concrete_function(*specs)
    for operation in function.graph.get_operations():
        if any(tensor.dtype in (tf.float16, tf.bfloat16) for tensor in operation.outputs):
            raise ValueError(
                f"`model` must compute in float32 but {operation.name!r} gives "
                f"{operation.outputs[0].dtype.name}, for which TFLite has few kernels: rebuild it "
                "under the policy 'float32' and copy the weights with set_weights()."
            )
    # The converter saves the object it is given. With the model itself it would trace every one
    # of the model's functions (5 s instead of 1 s for a ResNet-20); with nothing it would drop
    # the names. The variables are all it needs.
    holder = tf.Module()
    holder.captured = list(function.variables)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], trackable_obj=holder)
    if quantization == "dynamic":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return bytearray(converter.convert())


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Turns the converter's pages of compiler output into one sentence."""
    try:
        yield
    except Exception as error:
        if type(error).__name__ != "ConverterError":
            raise
        operations = re.search(r"(?:Select|Custom) ops: (.+)", str(error))
        if operations is None:
            cause = str(error).strip().partition("\n")[0]
            raise ValueError(
                f"`model` cannot be converted to TFLite ({cause[:200].rstrip('.')}): export a "
                "smaller part of it to find the layer that is to blame."
            ) from error
        raise ValueError(
            f"`model` uses operations for which TFLite has no kernel, {operations[1].strip()}: "
            "replace them, or export a model that ends before them."
        ) from error


def _order(
    buffer: bytearray, input_names: Sequence[str], output_names: Sequence[str]
) -> tuple[tuple[TensorInfo, ...], tuple[TensorInfo, ...]]:
    """Puts the file's inputs and outputs into the model's order, in place, and describes them.

    The converter sorts them by name or as the graph happens to lie; only the signature tells
    which is which. It points to tensors, so permuting the graph's own lists leaves it valid.
    """
    file = schema.Model.GetRootAs(buffer, 0)
    if not file.SignatureDefsLength():
        raise ValueError(
            "`model` uses state that cannot be frozen, such as a lookup table: remove the layer "
            "that owns it."
        )
    graph, signature = file.Subgraphs(0), file.SignatureDefs(0)

    def describe(name: str, index: int) -> TensorInfo:
        tensor = graph.Tensors(index)
        shape = [] if tensor.ShapeIsNone() else tensor.ShapeAsNumpy().tolist()
        if not tensor.ShapeSignatureIsNone():  # has -1 where the shape has a stand-in
            shape = tensor.ShapeSignatureAsNumpy().tolist()
        return TensorInfo(name, tuple(shape), _TYPE_NAMES[tensor.Type()])

    def arrange(names: Sequence[str], entries: list[Any], stored: Any) -> tuple[TensorInfo, ...]:
        indices = {entry.Name().decode(): entry.TensorIndex() for entry in entries}
        stored[:] = [indices[name] for name in names]
        return tuple(describe(name, indices[name]) for name in names)

    inputs = [signature.Inputs(i) for i in range(signature.InputsLength())]
    outputs = [signature.Outputs(i) for i in range(signature.OutputsLength())]
    return (
        arrange(input_names, inputs, graph.InputsAsNumpy()),
        arrange(output_names, outputs, graph.OutputsAsNumpy()),
    )
