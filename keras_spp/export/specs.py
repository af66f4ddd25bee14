"""The inputs of a file: their names, shapes and types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from keras_spp import frameworks
from keras_spp.frameworks.interface import Model
from keras_spp.util.messages import example_sizes


class Spec(NamedTuple):
    """One input of a file.

    Attributes:
        name: Its name in the signature.
        shape: Its sizes, the batch first.
        dtype: The type of its elements.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype


def input_specs(
    model: Model,
    names: Sequence[str],
    batch_size: int,
    input_shape: Sequence[int] | Mapping[str, Sequence[int]] | None,
) -> list[Spec]:
    """Returns the inputs of a model's file.

    Args:
        model: The model.
        names: Names of its inputs that a signature can carry.
        batch_size: As for `export_tflite`.
        input_shape: Likewise.

    Raises:
        ValueError: If sizes are open, or do not fit the model.
    """
    framework = frameworks.of(model)
    sizes_of_inputs = framework.input_sizes(model, input_shape)
    specs = []
    for name, tensor, sizes, dtype in zip(
        names, model.inputs, sizes_of_inputs, framework.input_types(model), strict=True
    ):
        known = tuple(size for size in sizes if size is not None)
        if len(known) < len(sizes):
            declared = tuple(tensor.shape[1:])
            raise ValueError(
                f"`input_shape` is needed because the input {name!r} leaves sizes open, "
                f"{declared}: give all of them without the batch, such as "
                f"{example_sizes(declared)}."
            )
        specs.append(Spec(name, (batch_size, *known), dtype))
    return specs
