"""Quantizing to integers in a process of its own, because TensorFlow's quantizer may end it.

It ends it without an exception on loops (a GRU's) and on activations that overflow; and there are
16-bit files on which TFLite's interpreter ends the process. Run as a program, this file converts
the tasks that `quantize` wrote to folders; it imports no keras_spp, which would take longest.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

_KERNELS = {
    "int8": tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
    "int16x8": tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,
}


class QuantizerError(Exception):
    """An error of the quantizer, with its message.

    Attributes:
        step: "quantizing" or "running" the file once, on zeros.
    """

    def __init__(self, step: str, message: str) -> None:
        super().__init__(message)
        self.step = step


@dataclass(frozen=True)
class Task:
    """A file of integers to make.

    Attributes:
        function: A concrete function with named inputs and outputs.
        samples: Batches by input name; none for a function that carries ranges itself.
        quantization: "int8" or "int16x8".
        input_type: The type of the file's inputs.
        output_type: The type of the file's outputs.
    """

    function: Any
    samples: Sequence[Mapping[str, np.ndarray]]
    quantization: str
    input_type: str
    output_type: str


def quantize(tasks: Sequence[Task]) -> list[bytearray | QuantizerError]:
    """Returns the contents of TFLite files of integers, which have run once, or their errors.

    A task that ends the process ends those after it, too.
    """
    from keras_spp.util.processes import command  # which the program does not need

    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name, f"{place:04}") for place in range(len(tasks))]
        for folder, task in zip(folders, tasks, strict=True):
            _write(folder, task)
        process = subprocess.run(
            command(__file__, name),
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(sys.path),
                "CUDA_VISIBLE_DEVICES": "-1",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )
        return [_result(folder, process) for folder in folders]


def _write(folder: Path, task: Task) -> None:
    tf.saved_model.save(_module_of(task.function), str(folder / "model"), signatures=task.function)
    for place, batch in enumerate(task.samples):
        np.savez(folder / f"{place:06}.npz", **batch)  # type: ignore[arg-type]
    types = [task.input_type, task.output_type]
    options = {"quantization": task.quantization, "types": types}
    (folder / "options.json").write_text(json.dumps(options))


def _result(folder: Path, process: subprocess.CompletedProcess[str]) -> bytearray | QuantizerError:
    file, error, done = (folder / name for name in ("file.tflite", "error.txt", "done"))
    if done.exists():
        return bytearray(file.read_bytes())
    message = error.read_text() if error.exists() else _last_words(process)
    return QuantizerError("running" if file.exists() else "quantizing", message)


def _last_words(process: subprocess.CompletedProcess[str]) -> str:
    if process.returncode < 0:
        return f"it ends its process with signal {-process.returncode}"
    return (process.stderr.strip().splitlines() or [f"exit code {process.returncode}"])[-1]


def convert(function: Any, quantization: str, named: bool = True) -> bytearray:
    """Returns the content of a TFLite file whose activations are floats.

    Args:
        function: A concrete function with named inputs and outputs.
        quantization: "none", "float16" or "dynamic".
        named: Whether the file says the names of inputs and outputs. Without them the converter
            need not save the function first, which takes longer than all else; what it makes of
            functions that are `is_flat` computes the same, operation by operation.
    """
    make = tf.lite.TFLiteConverter.from_concrete_functions
    converter = make([function], trackable_obj=_module_of(function))
    converter.experimental_lower_to_saved_model = named
    _set_up(converter, quantization)
    return bytearray(converter.convert())


def is_flat(function: Any) -> bool:
    """Returns whether a function only reads its variables, and calls and repeats no other one."""
    operations = function.graph.get_operations()
    calls = any(
        attribute.HasField("func") or attribute.list.func
        for operation in operations
        for attribute in operation.node_def.attr.values()
    )
    users = {
        operation.type
        for operation in operations
        if any(tensor.dtype in (tf.resource, tf.variant) for tensor in operation.inputs)
    }
    return not calls and users <= {"ReadVariableOp"}


def _module_of(function: Any) -> tf.Module:
    """Returns a module with a function's variables, for the converter, which saves an object.

    With a model it would trace every one of the model's functions (5 s instead of 1 s for a
    ResNet-20); with nothing it would drop the names.
    """
    holder = tf.Module()
    holder.captured = list(function.variables)
    return holder


def _set_up(converter: Any, quantization: str) -> None:
    """Tells TensorFlow's converter how to store numbers."""
    if quantization != "none":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantization == "float16":
        converter.target_spec.supported_types = [tf.float16]


def _convert(folder: Path) -> bytes:
    options = json.loads((folder / "options.json").read_text())
    converter = tf.lite.TFLiteConverter.from_saved_model(
        str(folder / "model"), signature_keys=["serving_default"]
    )
    _set_up(converter, options["quantization"])
    if files := sorted(folder.glob("*.npz")):
        converter.representative_dataset = lambda: (dict(np.load(file)) for file in files)
        converter.target_spec.supported_ops = [_KERNELS[options["quantization"]]]
    input_type, output_type = map(tf.as_dtype, options["types"])
    converter.inference_input_type = input_type
    converter.inference_output_type = output_type
    return converter.convert()


def _run(path: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(detail["index"], np.zeros(detail["shape"], detail["dtype"]))
    interpreter.invoke()


def _main(tasks: Path) -> None:
    for folder in sorted(tasks.iterdir()):
        try:
            (folder / "file.tflite").write_bytes(_convert(folder))
            _run(folder / "file.tflite")
            (folder / "done").touch()
        except Exception as error:
            (folder / "error.txt").write_text(str(error))


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
