"""How far the outputs of a TFLite file are from those of the Keras model, on real samples."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from rich.table import Table

from keras_spp import frameworks
from keras_spp.export.differences import Differences, compared
from keras_spp.export.samples import arrays
from keras_spp.frameworks.interface import Model
from keras_spp.util.checks import check_integer
from keras_spp.util.files import read_file
from keras_spp.util.messages import first_line
from keras_spp.util.report import Columns, Rows


@dataclass(frozen=True)
class ParityRow:
    """The difference in one output.

    Top-1 is the place of the largest value along the last axis, per sample and position; None
    for outputs with a single value there.

    Attributes:
        output: Its name in the Keras model.
        max_difference: The largest absolute difference.
        mean_difference: The mean absolute difference.
        largest: The largest absolute value that the Keras model gives, to judge these by.
        top1_agreement: The share of places where both have the same top-1, in [0, 1].
        keras_top1: The share of labels that are the Keras model's top-1; None without labels.
        tflite_top1: The share of labels that are the file's top-1; None without labels.
    """

    output: str
    max_difference: float
    mean_difference: float
    largest: float
    top1_agreement: float | None
    keras_top1: float | None
    tflite_top1: float | None


@dataclass(frozen=True)
class ParityReport(Rows[ParityRow]):
    """The differences that `parity` measured: a `ParityRow` per output, in the model's order.

    Attributes:
        path: The file.
        samples: How many samples were compared.
        entries: The outputs.
    """

    path: Path
    samples: int
    entries: tuple[ParityRow, ...]

    def to_dict(self) -> dict[str, Any]:
        """Returns plain Python values, ready for JSON."""
        return {"path": str(self.path), "samples": self.samples, "rows": self.rows}

    def __rich__(self) -> Table:
        table = Columns(f"{self.path}: {self.samples} samples")
        table.words("output")
        table.numbers("max\ndiff", "mean\ndiff", "largest")
        table.numbers("same\ntop-1", "top-1\nKeras", "top-1\nTFLite")
        for row in self.entries:
            shares = (row.top1_agreement, row.keras_top1, row.tflite_top1)
            table.row(
                row.output,
                *(f"{x:.3g}" for x in (row.max_difference, row.mean_difference, row.largest)),
                *("" if share is None else f"{share:.2%}" for share in shares),
            )
        return table


def parity(
    model: Model, path: str | os.PathLike[str], data: Any, *, samples: int | None = None
) -> ParityReport:
    """Compares a TFLite file with the Keras model it was made from.

    Integers that the file takes or gives are converted by the scale and zero point in it. The
    last samples of a batch that do not fill the file's batch size are filled up with a copy of
    the last one, which is not counted.

    Args:
        model: The model.
        path: A file that `export_tflite` wrote, with inputs and outputs in the model's order.
        data: Samples as the model takes them: a `tf.data.Dataset` or another iterable of
            batches, each of them inputs or (inputs, labels), one array of samples, or a function
            without arguments that returns such data. Arrays
            with labels are one batch: `[(images, labels)]`. Labels are integers, or one-hot;
            other targets are left out.
        samples: Stop after this many samples; None for all of the data, which must be finite.

    Returns:
        A `ParityReport`, which prints as a table and has the numbers in `rows`.

    Raises:
        TypeError: If `model` is no model of either Keras, or there is no data.
        ValueError: If the file is not a TFLite file, or it or the data does not fit the model.
        OSError: If the file cannot be read.

    Example:
        >>> import os, tempfile
        >>> import tf_keras as keras, keras_spp as spp
        >>> model = keras.Sequential([keras.layers.Dense(2, input_shape=(3,))])
        >>> path = os.path.join(tempfile.mkdtemp(), "dense.tflite")
        >>> _ = spp.export_tflite(model, path)
        >>> report = parity(model, path, np.random.default_rng(0).normal(size=(10, 3)))
        >>> report.samples, report[0].max_difference < 1e-5
        (10, True)
    """
    framework = frameworks.of(model)
    if samples is not None:
        check_integer("samples", samples, 1, "None or ")
    file = _File(path, model)
    outputs, count = compared(
        framework.output_keys(model),
        arrays(model, data, file.shapes, "data"),
        (framework.inference(model), model.inputs[0].shape[0]),
        (file.run, file.batch_size),
        samples,
    )
    return ParityReport(Path(path), count, tuple(map(_row, outputs)))


def _row(output: Differences) -> ParityRow:
    return ParityRow(
        output.name,
        output.most,
        output.mean,
        output.largest,
        output.agreement,
        output.first_top1,
        output.second_top1,
    )


class _File:
    """A TFLite file that takes and gives the model's own types.

    Attributes:
        batch_size: Samples per invocation.
        shapes: The sizes of each input without the batch.
    """

    def __init__(self, path: str | os.PathLike[str], model: Model) -> None:
        self.path = str(path)
        content = read_file(path)
        with self._explained("be loaded"):
            self.interpreter = Interpreter(model_content=content)
            self.interpreter.allocate_tensors()
        self.inputs = self.interpreter.get_input_details()
        self.outputs = self.interpreter.get_output_details()
        for side, details, tensors in (
            ("inputs", self.inputs, model.inputs),
            ("outputs", self.outputs, model.outputs),
        ):
            shapes = [tuple(detail["shape"].tolist()) for detail in details]
            declared = [tuple(tensor.shape) for tensor in tensors]
            if len(shapes) != len(declared) or not all(
                _fits(shape, sizes) for shape, sizes in zip(shapes, declared, strict=True)
            ):
                raise ValueError(
                    f"`path` must be a file made from the model but {self.path!r} has {side} of "
                    f"shape {_listed(shapes)} where the model has {_listed(declared)}."
                )
        self.batch_size = int(self.inputs[0]["shape"][0])
        self.shapes = [tuple(detail["shape"][1:].tolist()) for detail in self.inputs]

    def run(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        for detail, array in zip(self.inputs, inputs, strict=True):
            scale, zero_point = detail["quantization"]
            if scale:
                limits = np.iinfo(detail["dtype"])
                array = np.clip(np.round(array / scale) + zero_point, limits.min, limits.max)
            self.interpreter.set_tensor(detail["index"], array.astype(detail["dtype"]))
        self.interpreter.reset_all_variables()  # the state of an LSTM, which Keras starts anew
        with self._explained("run"):
            self.interpreter.invoke()
        return [self._output(detail) for detail in self.outputs]

    @contextlib.contextmanager
    def _explained(self, done: str) -> Iterator[None]:
        try:
            yield
        except (ValueError, RuntimeError) as error:
            raise ValueError(
                f"`path` must be a TFLite file that runs here but {self.path!r} cannot {done} "
                f"({first_line(error)}): export it again."
            ) from error

    def _output(self, detail: dict[str, Any]) -> np.ndarray:
        array, (scale, zero_point) = (
            self.interpreter.get_tensor(detail["index"]),
            detail["quantization"],
        )
        return (array.astype(np.float32) - zero_point) * np.float32(scale) if scale else array


def _listed(shapes: list[tuple]) -> str:
    return ", ".join(map(str, shapes))


def _fits(shape: Sequence[int], declared: Sequence[int | None]) -> bool:
    """Tells whether a shape is one that a model declares; the batch does not matter."""
    return len(shape) == len(declared) and all(
        size is None or size == along for along, size in zip(shape[1:], declared[1:], strict=True)
    )
