"""Files of integers, and sentences for what the quantizer reports."""

from __future__ import annotations

import re
from collections.abc import Sequence

from keras_spp.export.quantization import no_kernels
from keras_spp.export.quantizer import QuantizerError, Task, quantize
from keras_spp.util.messages import first_line


def in_integers(tasks: Sequence[Task]) -> list[bytearray]:
    """Returns the contents of files of integers; raises ValueError if one fails."""
    files = []
    for task, file in zip(tasks, quantize(tasks), strict=True):
        if isinstance(file, QuantizerError):
            raise _explained(file, task.quantization) from file
        files.append(file)
    return files


def _explained(error: QuantizerError, quantization: str) -> ValueError:
    """Returns an error of one sentence for what the quantizer reports."""
    message = str(error)
    if operations := re.findall(r"not yet supported for op: '(\w+)'", message):
        return no_kernels(quantization, operations)
    cause = first_line(message)
    if error.step == "running":
        return ValueError(
            f"`quantization` must be one that TFLite's kernels can run but a file made with "
            f"{quantization!r} fails on zeros ({cause}): use another one."
        )
    return ValueError(
        f"`quantization` must be one that TensorFlow can carry out but {quantization!r} fails "
        f"({cause}): use 'dynamic' if the model has loops, such as a GRU's without unroll=True, "
        "or `representative_data` on which no value overflows or is out of range."
    )
