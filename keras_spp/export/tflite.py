"""Export of a model to a TFLite file that runs on phones and small boards."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from keras_spp import frameworks
from keras_spp.analysis.provenance import pruned_from
from keras_spp.devices import device as latency
from keras_spp.devices.device import Device
from keras_spp.export import metadata, packing
from keras_spp.export import quantization as quantized
from keras_spp.export.columns import find_pruned
from keras_spp.export.elsewhere import converter_of, kept_open
from keras_spp.export.options import check_options
from keras_spp.export.packing import PackedLayer
from keras_spp.export.parity import parity
from keras_spp.export.signature import TensorInfo, arrange, keeps_state
from keras_spp.export.specs import input_specs
from keras_spp.frameworks.interface import Model
from keras_spp.util import progress
from keras_spp.util.checks import check_integer
from keras_spp.util.files import atomic_path, check_apart
from keras_spp.util.names import valid_names
from keras_spp.version import __version__

# Files of integers are compared with the model on this many batches. They are far from it if they
# differ by this fraction of the largest output, on average.
COMPARED = 16
FAR = 0.25


@dataclass(frozen=True)
class ExportReport:
    """The file that `export_tflite` wrote.

    Attributes:
        path: The file.
        bytes: Its size in bytes.
        quantization: How its weights are stored.
        batch_size: The number of examples per invocation.
        inputs: Its inputs, in the order of the model's.
        outputs: Its outputs, in the order of the model's.
        metadata: What the file says about itself, as `read_metadata` gives it.
        keeps_state: Whether the interpreter keeps the state of an LSTM from one invocation to the
            next, unless its reset_all_variables() is called between them.
        packed: The convolutions with pruned columns, and how the file computes each.
    """

    path: Path
    bytes: int
    quantization: str
    batch_size: int
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    metadata: dict[str, Any]
    keeps_state: bool
    packed: tuple[PackedLayer, ...]

    def __str__(self) -> str:
        head = f"{self.path}: {self.bytes:,} bytes, quantization {self.quantization!r}"
        pruned = self.metadata["pruned"] or {}
        if pruned.get("speedup"):
            head += f", pruned to {pruned['speedup']:.2f}x fewer MACs"
        lines = [f"  input  {tensor}" for tensor in self.inputs]
        lines += [f"  output {tensor}" for tensor in self.outputs]
        return "\n".join([head, *lines, *(f"  packed {layer}" for layer in self.packed)])

    def to_dict(self) -> dict[str, Any]:
        """Returns the report as plain Python values, ready for JSON."""
        tensors = {
            side: [{**asdict(t), "shape": list(t.shape)} for t in getattr(self, side)]
            for side in ("inputs", "outputs")
        }
        return {**asdict(self), "path": str(self.path), **tensors}


def export_tflite(
    model: Model,
    path: str | os.PathLike[str],
    quantization: str = "none",
    *,
    batch_size: int = 1,
    input_shape: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
    representative_data: Any = None,
    input_type: str = "float32",
    output_type: str = "float32",
    original: Model | None = None,
    pack: bool = True,
    device: str | Device = "local",
    verbose: int = 1,
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
        model: A functional or built Sequential model of tf_keras or Keras 3 with any number of
            inputs and outputs, or one from tfmot's `quantize_model`. It is not modified. One that
            is not on TensorFlow (Keras 3 on JAX or PyTorch) is converted in a process of its own.
        path: Where to write; the folder must exist.
        quantization: "none" keeps float32 weights; "float16" halves the file; "dynamic" stores
            the larger weights as int8 and quantizes activations while it runs; "int8" computes
            with 8-bit integers only; "int16x8" with 16-bit activations and 8-bit weights.
        batch_size: The number of examples per invocation, at least 1.
        input_shape: The input's sizes without the batch, for a model that leaves some of them
            open (None); a dict from input name to sizes for a model with several inputs.
        representative_data: For "int8" and "int16x8", samples as the model will see them, from
            which ranges are taken: a `tf.data.Dataset` or another iterable of batches (targets
            are left out), one array, or a function without arguments that returns such data, like
            the generator functions of TFLite's converter. The first 256 samples count. A batch
            for several inputs is a list in the model's order, or a dict by name. A model from
            `quantize_model` knows its ranges and needs none.
        input_type: What the file takes, for all inputs: "float32", or with "int8" also "int8"
            or "uint8", with "int16x8" also "int16". Integers stand for the numbers that
            the scale and zero point in the report say.
        output_type: What the file gives, likewise.
        original: The model before pruning, for the metadata; not needed for what `shrink` has
            just returned, which remembers the first one of several rounds, but after saving,
            loading or `quantize_model`, where that is lost.
        pack: Whether convolutions may leave out their pruned columns (granularity "column").
            Each is timed alone, as it is and in two other ways, and the fastest is taken.
        device: Where that is timed: a name as for `spp.benchmark`, or an `spp.Device`, which
            remembers what it has measured.
        verbose: 0 shows nothing, 1 a progress bar where layers are timed.

    Returns:
        An `ExportReport`: the file's size, the names, shapes and types of its tensors, and the
        metadata in it.

    Warns:
        UserWarning: If outputs of a file of integers are far from the model's on the
            representative data, if the file keeps state from one invocation to the next, or if
            the model is what `spp.prune` returned and still as large as before.

    Raises:
        TypeError: If `model` is no model of either Keras, or the data is no data.
        ValueError: If the options do not fit the model or each other, if the data is missing,
            empty, not finite or of other shapes, if the model is subclassed, not built or
            computes in float16, if TFLite lacks an operation it uses, in this quantization, or
            if `path` is one of the files that `device` reads or writes.
        OSError: If `path` cannot be written, or the process that converts a model ends.
        ImportError: If TensorFlow is not installed.

    Example:
        >>> import os, tempfile
        >>> import tf_keras as keras
        >>> model = keras.Sequential([keras.layers.Dense(2, input_shape=(3,))])
        >>> path = os.path.join(tempfile.mkdtemp(), "dense.tflite")
        >>> export_tflite(model, path).outputs[0].shape
        (1, 2)
    """
    framework = frameworks.of(model)
    if original is not None:
        frameworks.of(original, "original")
    types = {"input_type": input_type, "output_type": output_type}
    check_options(quantization, **types, representative_data=representative_data)
    check_integer("batch_size", batch_size, 1)
    check_integer("verbose", verbose, 0)
    where = latency.find(device)
    check_apart("`path`", path, where.files())
    input_names = valid_names(framework.input_keys(model))
    output_names = valid_names(framework.output_keys(model))
    specs = input_specs(model, input_names, batch_size, input_shape)
    with atomic_path(path) as temporary, kept_open():
        converter = converter_of(model, specs, output_names)
        shapes = converter.trace(pack)
        samples = []
        given = representative_data is not None
        if converter.needs_samples(quantization, types, given):
            samples = quantized.calibration_batches(model, specs, representative_data)
        pruned = find_pruned(model) if pack else []
        calls = list(zip(pruned, shapes, strict=True))
        with progress.shown(verbose):
            layers, layouts = packing.decide(calls, quantization, where, converter.files_of)
        buffer = converter.convert(quantization, samples, types, layouts)
        inputs, outputs = arrange(buffer, input_names, output_names)
        sizes = [tuple(spec.shape[1:]) for spec in specs]
        info = {
            metadata.NAME: __version__,
            "model": model.name,
            "quantization": quantization,
            "pruned": pruned_from(model, original, sizes),
            "columns": {row.layer: [*row.columns, row.layout] for row in layers},
        }
        buffer = metadata.with_metadata(buffer, info)
        temporary.write_bytes(buffer)
        if samples:
            _warn_if_far(model, temporary, samples)
    if framework.wrappers(model):
        warnings.warn(
            "export_tflite: the model is pruned but not shrunk, so the file is as large as before "
            "pruning: export what spp.shrink(model) returns.",
            stacklevel=2,
        )
    if state := keeps_state(buffer):
        warnings.warn(
            "export_tflite: the file keeps the state of its LSTM from one invocation to the next: "
            "call reset_all_variables() on the interpreter before each sequence of its own.",
            stacklevel=2,
        )
    return ExportReport(
        Path(path), len(buffer), quantization, batch_size, inputs, outputs, info, state, layers
    )


def export_to_time(
    model: Model,
    path: Path,
    input_shape: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
) -> None:
    """Writes a float32 file that takes as long as what `export_tflite` writes, in less time.

    It has no names and no metadata, which do not matter where it is only timed.

    Args:
        model: A functional or Sequential model.
        path: Where to write the file.
        input_shape: As for `export_tflite`.

    Raises:
        ValueError: As `export_tflite` does.
        OSError: Likewise.
    """
    buffer = file_to_time(model, input_shape)
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer)


def file_to_time(
    model: Model, input_shape: Sequence[int] | Mapping[str, Sequence[int]] | None = None
) -> bytes:
    """Returns the content of such a file."""
    framework = frameworks.of(model)
    specs = input_specs(model, valid_names(framework.input_keys(model)), 1, input_shape)
    with kept_open():
        converter = converter_of(model, specs, valid_names(framework.output_keys(model)))
        return bytes(converter.convert_to_time())


def _warn_if_far(model: Model, path: Path, samples: list[dict[str, Any]]) -> None:
    """Warns if a file gives other outputs than the model: some of TFLite's kernels are wrong."""
    data = [list(batch.values()) for batch in samples[:COMPARED]]
    for row in parity(model, path, data):
        if not row.mean_difference <= FAR * row.largest:
            warnings.warn(
                f"export_tflite: the output {row.output!r} of the file differs by "
                f"{row.mean_difference:.3g} on average from the model's, which is "
                f"{row.largest:.3g} at most: compare them with spp.parity() before you use it.",
                stacklevel=3,
            )
