"""Quantizing to integers in a process of its own, because TensorFlow's quantizer may end it.

It does so without an exception on loops (a GRU's) and on activations that overflow; and there are
16-bit files on which TFLite's interpreter ends the process. Run as a program, this file converts
what `quantize` has left in a folder; it imports no keras_spp, which takes longer than all else.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

_KERNELS = {
    "int8": tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
    "int16x8": tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,
}


class QuantizerError(Exception):
    """What went wrong, as the quantizer put it.

    Attributes:
        step: "quantizing" or "running" the file once, on zeros.
    """

    def __init__(self, step: str, message: str) -> None:
        super().__init__(message)
        self.step = step


def quantize(
    module: tf.Module,
    function: Any,
    samples: list[dict[str, np.ndarray]],
    quantization: str,
    input_type: str,
    output_type: str,
) -> bytearray:
    """The content of a TFLite file of integers, which has run once.

    Args:
        module: What holds the function's variables.
        function: A concrete function with named inputs and outputs.
        samples: Batches by input name; none for a function that carries ranges itself.
        quantization: "int8" or "int16x8".
        input_type: The type of the file's inputs.
        output_type: The type of the file's outputs.

    Raises:
        QuantizerError: If the quantizer or the interpreter fails, or ends its process.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tf.saved_model.save(module, str(folder / "model"), signatures=function)
        for place, batch in enumerate(samples):
            np.savez(folder / f"{place:06}.npz", **batch)  # type: ignore[arg-type]
        options = {"quantization": quantization, "types": [input_type, output_type]}
        (folder / "options.json").write_text(json.dumps(options))
        process = subprocess.run(
            [sys.executable, __file__, name],
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
        if process.returncode:
            file, error = folder / "file.tflite", folder / "error.txt"
            message = error.read_text() if error.exists() else _last_words(process)
            raise QuantizerError("running" if file.exists() else "quantizing", message)
        return bytearray((folder / "file.tflite").read_bytes())


def _last_words(process: subprocess.CompletedProcess[str]) -> str:
    if process.returncode < 0:
        return f"it ends its process with signal {-process.returncode}"
    return (process.stderr.strip().splitlines() or [f"exit code {process.returncode}"])[-1]


def _convert(folder: Path) -> bytes:
    options = json.loads((folder / "options.json").read_text())
    converter = tf.lite.TFLiteConverter.from_saved_model(
        str(folder / "model"), signature_keys=["serving_default"]
    )
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
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


def _main(folder: Path) -> int:
    try:
        content = _convert(folder)
        (folder / "file.tflite").write_bytes(content)
        _run(folder / "file.tflite")
    except Exception as error:
        (folder / "error.txt").write_text(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main(Path(sys.argv[1])))
