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

from keras_spp import frameworks
from keras_spp.core.kinds import own_name
from keras_spp.frameworks.interface import Layer, Model

# How channels are gathered decides the speed. "gather" does it in the order in which TFLite keeps
# images, one number at a time. "rows" turns the image around first, so that each channel
# is one block of memory, and back at the end: on large images that is far less work.
LAYOUTS = ("gather", "rows")
LEFT = 0.75  # with a larger share of columns left, the gain is not worth timing

Operation = Callable[[tf.Tensor, Any], tf.Tensor]


def left(layer: Layer) -> np.ndarray:
    """Returns which columns are not pruned, shape (height, width, in)."""
    return np.any(_kernel(layer), -1)


def _kernel(layer: Layer) -> np.ndarray:
    return layer.get_weights()[0]


def find_pruned(model: Model) -> list[Layer]:
    """Returns the convolutions that can be computed without a good part of their columns."""
    return [
        layer
        for layer in frameworks.of(model).layers(model)
        if own_name(type(layer)) == "Conv2D"
        and (layer.groups, layer.data_format) == (1, "channels_last")
        and 0 < left(layer).mean() <= LEFT
    ]


def packed(layer: Layer, layout: str) -> Operation:
    """Returns a function that computes a layer's convolution without its pruned columns.

    Args:
        layer: A layer that `find_pruned` returns.
        layout: One of `LAYOUTS`.

    Returns:
        A function of inputs of a known shape (batch, height, width, channels) and the kernel,
        which it ignores: it holds the columns that are left.
    """
    windows = _windows(layer)
    kernel = np.concatenate([rows for *_, rows in windows])
    axis, spatial_axes = (3, (1, 2)) if layout == "gather" else (0, (2, 3))

    def convolve(inputs: tf.Tensor, _: Any) -> tf.Tensor:
        batch, *sizes = inputs.shape[:3]
        pads, outs = zip(*map(partial(_padding, layer), range(2), sizes), strict=True)
        inputs = _split(inputs, pads, layer.strides, layout)
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


def _windows(layer: Layer) -> list[tuple[tuple[int, ...], np.ndarray, np.ndarray]]:
    """Returns what a layer reads of the split image: offsets, channels and their kernel rows."""
    kernel, surviving = _kernel(layer), left(layer)
    parts_by_start: dict[tuple[int, ...], list[tuple[np.ndarray, np.ndarray]]] = defaultdict(list)
    for tap in np.ndindex(surviving.shape[:2]):
        offsets = np.multiply(tap, layer.dilation_rate)
        start, phase = offsets // layer.strides, offsets % layer.strides
        channels = np.flatnonzero(surviving[tap])
        first = surviving.shape[2] * np.ravel_multi_index(phase, layer.strides)
        parts_by_start[tuple(start.tolist())].append((first + channels, kernel[tap][channels]))
    windows = []
    for start, parts in parts_by_start.items():
        channels, rows = map(np.concatenate, zip(*parts, strict=True))
        if len(channels):
            windows.append((start, channels, rows))
    return windows


def _padding(layer: Layer, axis: int, size: int) -> tuple[tuple[int, int], int]:
    """Returns the zeros before and after an axis, as TensorFlow pads it, and the output's size."""
    stride = layer.strides[axis]
    extent = (layer.kernel_size[axis] - 1) * layer.dilation_rate[axis] + 1
    out = -(-size // stride) if layer.padding == "same" else (size - extent) // stride + 1
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
