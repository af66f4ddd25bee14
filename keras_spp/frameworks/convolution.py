"""Temporary replacements of layers' convolutions."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Layer = Any


@contextlib.contextmanager
def convolved_by(
    operations: Mapping[Layer, Callable[[Any, Any], Any]],
) -> Iterator[None]:
    """Replaces the convolution of layers by functions of (inputs, kernel) in the block.

    Both Keras document `convolution_op` as a method that a subclass may replace. Here single
    objects get their own until the block ends, whatever happens.
    """
    try:
        for layer, operation in operations.items():
            layer.__dict__["convolution_op"] = operation
        yield
    finally:
        for layer in operations:
            layer.__dict__.pop("convolution_op", None)
