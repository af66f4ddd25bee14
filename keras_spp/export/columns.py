"""Pruned columns of convolutions, and the layouts in which a file can compute what is left."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from keras_spp import frameworks
from keras_spp.core.kinds import own_name
from keras_spp.frameworks.interface import Layer, Model

# How channels are gathered decides the speed. "gather" does it in the order in which TFLite keeps
# images, one number at a time. "rows" turns the image around first, so that each channel
# is one block of memory, and back at the end: on large images that is far less work.
PACKED = ("gather", "rows")
DENSE = "dense"
LAYOUTS = (DENSE, *PACKED)
LEFT = 0.75  # with a larger share of columns left, the gain is not worth timing


class Convolution(NamedTuple):
    """What a convolution computes with, whatever framework its layer is of.

    Attributes:
        kernel: Shape (height, width, in, out).
        strides: Along height and width.
        dilation_rate: Likewise.
        padding: "same" or "valid".
    """

    kernel: np.ndarray
    strides: tuple[int, int]
    dilation_rate: tuple[int, int]
    padding: str

    @property
    def left(self) -> np.ndarray:
        """Which columns are not pruned, shape (height, width, in)."""
        return np.any(self.kernel, -1)


class Timed(NamedTuple):
    """A convolution to be timed alone.

    Attributes:
        convolution: The convolution.
        shape: Of its input, batch included.
        layout: One of `LAYOUTS`.
    """

    convolution: Convolution
    shape: tuple[int, ...]
    layout: str


def convolution_of(layer: Layer) -> Convolution:
    """Returns what a Conv2D layer computes with."""
    kernel = layer.get_weights()[0]
    return Convolution(kernel, tuple(layer.strides), tuple(layer.dilation_rate), layer.padding)


def find_pruned(model: Model) -> list[Layer]:
    """Returns the convolutions that can be computed without a good part of their columns."""
    return [
        layer
        for layer in frameworks.of(model).layers(model)
        if own_name(type(layer)) == "Conv2D"
        and (layer.groups, layer.data_format) == (1, "channels_last")
        and len(layer.weights) == 1 + layer.use_bias  # not more, as with LoRA
        and 0 < convolution_of(layer).left.mean() <= LEFT
    ]
