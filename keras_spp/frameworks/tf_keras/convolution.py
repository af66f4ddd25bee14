"""Convolving in another way for a while."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import tf_keras as keras


@contextlib.contextmanager
def convolved_by(
    operations: Mapping[keras.layers.Conv2D, Callable[[Any, Any], Any]],
) -> Iterator[None]:
    """Lets layers convolve by other functions of (inputs, kernel) while they are called.

    Keras documents `convolution_op` as what a subclass may replace. Here one object gets its own,
    and is as it was afterwards, whatever happens.
    """
    try:
        for layer, operation in operations.items():
            layer.__dict__["convolution_op"] = operation
        yield
    finally:
        for layer in operations:
            layer.__dict__.pop("convolution_op", None)
