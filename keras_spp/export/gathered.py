"""Convolutions without their pruned columns, for export.

A kernel of shape (height, width, in, out) has one column for each position and input channel. The
columns that are left are gathered from the input, tap by tap, as the channels of one tensor. A 1x1
convolution of that gives exactly the result of the dense convolution, without its zeros.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from keras_spp.export.columns import DENSE, Convolution

Operation = Callable[[tf.Tensor, Any], tf.Tensor]


def operation(convolution: Convolution, layout: str) -> Operation:
    """Returns a function that computes a convolution, in one of `columns.LAYOUTS`.

    It takes inputs of a known shape (batch, height, width, channels) and the kernel, which it
    ignores, as it holds one.
    """
    return dense(convolution) if layout == DENSE else packed(convolution, layout)


def dense(convolution: Convolution) -> Operation:
    """Returns a function that computes a convolution with all of its columns."""
    kernel, strides, dilation_rate, padding = convolution

    def convolve(inputs: tf.Tensor, _: Any) -> tf.Tensor:
        return tf.nn.convolution(
            inputs, tf.constant(kernel), strides, padding.upper(), dilations=dilation_rate
        )

    return convolve


def packed(convolution: Convolution, layout: str) -> Operation:
    """Returns a function that computes a convolution without its pruned columns.

    Args:
        convolution: The convolution of a layer that `columns.find_pruned` returns.
        layout: One of `columns.PACKED`.

    Returns:
        A function of inputs of a known shape (batch, height, width, channels) and the kernel,
        which it ignores: it holds the columns that are left.
    """
    windows = _windows(convolution)
    kernel = np.concatenate([rows for *_, rows in windows])
    axis, spatial_axes = (3, (1, 2)) if layout == "gather" else (0, (2, 3))

    def convolve(inputs: tf.Tensor, _: Any) -> tf.Tensor:
        batch, *sizes = inputs.shape[:3]
        pads, outs = zip(*map(partial(_padding, convolution), range(2), sizes), strict=True)
        inputs = _split(inputs, pads, convolution.strides, layout)
        parts = []
        for start, channels, _ in windows:
            window = [slice(None)] * 4
            for spatial_axis, first, out in zip(spatial_axes, start, outs, strict=True):
                window[spatial_axis] = slice(first, first + out)
            parts.append(_take(inputs, channels, axis)[tuple(window)])
        columns = tf.concat(parts, axis)
        if layout == "rows":
            columns = tf.transpose(tf.reshape(columns, (len(kernel), -1)))
            columns = tf.reshape(columns, (batch, *outs, len(kernel)))
        return tf.nn.conv2d(columns, tf.constant(kernel[None, None]), 1, "VALID")

    return convolve


def _windows(convolution: Convolution) -> list[tuple[tuple[int, ...], np.ndarray, np.ndarray]]:
    """Returns what is read of the split image: offsets, channels and their kernel rows."""
    kernel, surviving, strides = convolution.kernel, convolution.left, convolution.strides
    parts_by_start: dict[tuple[int, ...], list[tuple[np.ndarray, np.ndarray]]] = defaultdict(list)
    for tap in np.ndindex(surviving.shape[:2]):
        offsets = np.multiply(tap, convolution.dilation_rate)
        start, phase = offsets // strides, offsets % strides
        channels = np.flatnonzero(surviving[tap])
        first = surviving.shape[2] * np.ravel_multi_index(phase, strides)
        parts_by_start[tuple(start.tolist())].append((first + channels, kernel[tap][channels]))
    windows = []
    for start, parts in parts_by_start.items():
        channels, rows = map(np.concatenate, zip(*parts, strict=True))
        if len(channels):
            windows.append((start, channels, rows))
    return windows


def _padding(convolution: Convolution, axis: int, size: int) -> tuple[tuple[int, int], int]:
    """Returns the zeros before and after an axis, as TensorFlow pads it, and the output's size."""
    stride = convolution.strides[axis]
    extent = (convolution.kernel.shape[axis] - 1) * convolution.dilation_rate[axis] + 1
    out = -(-size // stride) if convolution.padding == "same" else (size - extent) // stride + 1
    total = max((out - 1) * stride + extent - size, 0)
    return (total // 2, total - total // 2), out


def _split(
    image: tf.Tensor, pads: Sequence[tuple[int, int]], strides: tuple[int, int], layout: str
) -> tf.Tensor:
    """Pads an image and moves the positions within a stride into channels: strides become 1.

    The shape becomes (batch, height, width, channels) or, for "rows", (channels, batch, height,
    width).
    """
    batch, *sizes, channels = image.shape
    missing = [-(size + sum(pad)) % s for size, pad, s in zip(sizes, pads, strides, strict=True)]
    widths = [(pad[0], pad[1] + rest) for pad, rest in zip(pads, missing, strict=True)]
    if any(map(any, widths)):
        image = tf.pad(image, ((0, 0), *widths, (0, 0)))
    (rows, down), (columns, right) = (
        (size // s, s) for size, s in zip(image.shape[1:3], strides, strict=True)
    )
    if strides != (1, 1):
        image = tf.reshape(image, (batch, rows, down, columns, right, channels))
        image = tf.transpose(image, (0, 1, 3, 2, 4, 5))
    image = tf.reshape(image, (-1, down * right * channels))
    if layout == "rows":  # of a matrix: TFLite turns that around much faster than four axes
        return tf.reshape(tf.transpose(image), (-1, batch, rows, columns))
    return tf.reshape(image, (batch, rows, columns, -1))


def _take(tensor: tf.Tensor, channels: np.ndarray, axis: int) -> tf.Tensor:
    """Takes some channels of a tensor; neighbours are sliced, not gathered."""
    first, last = int(channels[0]), int(channels[-1])
    if last - first + 1 == len(channels):  # they ascend
        place = [slice(None)] * 4
        place[axis] = slice(first, last + 1)
        return tensor[tuple(place)]
    return tf.gather(tensor, channels, axis=axis)
