"""The options of `export_tflite`, and which of them go together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

QUANTIZATIONS = ("none", "float16", "dynamic", "int8", "int16x8")

# Types of a file's own inputs and outputs; float32 is converted at the file's ends.
IO_TYPES = {"int8": ("float32", "int8", "uint8"), "int16x8": ("float32", "int16")}


def check_options(
    quantization: str, input_type: str, output_type: str, representative_data: Any
) -> None:
    """Raises ValueError if options of `export_tflite` do not fit each other."""
    if quantization not in QUANTIZATIONS:
        raise ValueError(
            f"`quantization` must be one of {_quoted(QUANTIZATIONS)} but is {quantization!r}."
        )
    types = IO_TYPES.get(quantization, ("float32",))
    for name, value in (("input_type", input_type), ("output_type", output_type)):
        if value not in types:
            raise ValueError(
                f"`{name}` must be one of {_quoted(types)} with quantization {quantization!r} but "
                f"is {value!r}."
            )
    if quantization not in IO_TYPES and representative_data is not None:
        raise ValueError(
            f"`representative_data` must be None with quantization {quantization!r}, which needs "
            "no ranges of activations: leave it out or choose 'int8'."
        )


def _quoted(choices: Sequence[str]) -> str:
    return ", ".join(map(repr, choices))
