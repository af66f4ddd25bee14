"""Sums of which Keras on TensorFlow takes one operand for a bias, perhaps of the wrong axis.

Its `ops.add` gives a second operand that varies along one axis alone to `tf.nn.bias_add`: along the
last axis of the first operand if that is as long, else along axis 1. So a map must not become as
wide as it has channels where these come first, nor the other way round.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_spp.core.channels import Channels, Labels, Reason

Shape = Sequence[int | None]


def keep_axis(
    channels: Channels, layer: Any, labels: Labels, axis: int, shape: Shape, added: Shape
) -> None:
    """Records the numbers of channels with which a sum would mean something else.

    Args:
        channels: The record.
        layer: The layer, or function, that adds.
        labels: The channels of the first operand.
        axis: Where these are.
        shape: The shape of the first operand.
        added: That of the second.
    """
    if keras.backend.backend() != "tensorflow":
        return
    count, rank = len(labels), len(shape)
    axis %= rank
    added = [1] * (rank - len(added)) + list(added)

    def is_wrong(number: int) -> bool:
        first, second = list(shape), list(added)
        first[axis] = number
        if added[axis] == count > 1:
            second[axis] = number
        return _is_moved(first, second)

    if is_wrong(count):
        channels.freeze(labels, Reason.HELD, layer.name)
    else:
        channels.avoid(labels, [number for number in range(1, count) if is_wrong(number)])


def _is_moved(shape: Shape, added: Shape) -> bool:
    """Tells whether what is added lands on another axis than it should."""
    axes = [axis for axis, size in enumerate(added) if size != 1]
    if len(axes) != 1 or len(shape) < 2:
        return False
    size = added[axes[0]]
    if size is None or size not in (shape[1], shape[-1]):
        return False
    return axes[0] != (len(shape) - 1 if shape[-1] == size else 1)
