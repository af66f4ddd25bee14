"""The kernels of layers as matrices, and what they are multiplied with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_spp.core.kinds import is_a
from keras_spp.core.windows import Window
from keras_spp.rules.channelwise import channel_axis
from keras_spp.rules.kernels import depthwise_kernel

WIDE = 6_000  # inputs of a kernel of which the products are too many to keep and to invert


class Kernel:
    """A kernel that is multiplied with the input at every position, as one matrix per group.

    Args:
        layer: Its layer.

    Attributes:
        variable: The kernel.
        written: The axis of the kernel with the outputs.
        multiplier: How many outputs one position of that axis stands for.
    """

    written = -1
    multiplier = 1

    def __init__(self, layer: Any) -> None:
        self.layer = layer
        self.variable = layer.kernel

    @property
    def bias(self) -> Any:
        """The variable that is added to the outputs; None if there is none."""
        return getattr(self.layer, "bias", None)

    def inputs(self) -> int:
        """Returns how many inputs each output is computed from."""
        return self.matrix(np.empty(self.variable.shape, bool)).shape[1]

    def outputs(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Returns the sizes of the outputs' positions, for an output of a shape."""
        return tuple(shape[2:] if channel_axis(self.layer) == 1 else shape[1:-1])

    def rows(self, x: np.ndarray, sizes: Sequence[int], at: np.ndarray) -> np.ndarray:
        """Returns what the kernel is multiplied with at some output positions.

        Args:
            x: The layer's inputs.
            sizes: Those of the outputs' positions.
            at: Numbers of output positions, shape (samples, positions).

        Returns:
            Rows, shape (samples * positions, groups, d).
        """
        raise NotImplementedError

    def matrix(self, kernel: np.ndarray) -> np.ndarray:
        """Returns the kernel's elements, or a mask's, in the shape (groups, d, outputs)."""
        raise NotImplementedError

    def kernel(self, matrix: np.ndarray) -> np.ndarray:
        """Returns such a matrix as a kernel."""
        raise NotImplementedError


class Product(Kernel):
    """A kernel (d, outputs) that is multiplied with the last axis: `Dense`."""

    def rows(self, x: np.ndarray, sizes: Sequence[int], at: np.ndarray) -> np.ndarray:
        """Returns the inputs there."""
        return at_positions(x, at, -1).reshape(at.size, 1, -1)

    def matrix(self, kernel: np.ndarray) -> np.ndarray:
        """Adds the axis of the groups."""
        return kernel[None]

    def kernel(self, matrix: np.ndarray) -> np.ndarray:
        """Takes it away."""
        return matrix[0]


class Convolution(Kernel):
    """A kernel (..., inputs / groups, outputs): the ordinary and the grouped convolution."""

    transposed = False

    @property
    def window(self) -> Window:
        """The geometry."""
        layer = self.layer
        return Window(
            layer.kernel_size, layer.strides, layer.dilation_rate, layer.padding, self.transposed
        )

    @property
    def groups(self) -> int:
        """How many systems the layer consists of."""
        return self.layer.groups

    def rows(self, x: np.ndarray, sizes: Sequence[int], at: np.ndarray) -> np.ndarray:
        """Returns the patches there."""
        patches = self._patches(x, sizes, at)  # (rows, elements, channels)
        rows, elements, _ = patches.shape
        patches = patches.reshape(rows, elements, self.groups, -1)
        return patches.swapaxes(1, 2).reshape(rows, self.groups, -1)

    def _patches(self, x: np.ndarray, sizes: Sequence[int], at: np.ndarray) -> np.ndarray:
        x = np.moveaxis(x, channel_axis(self.layer), -1)
        reached = self.window.inputs(x.shape[1:-1], sizes, at)
        flat = x.reshape(len(x), -1, x.shape[-1])
        sample = np.arange(len(x))[:, None, None]
        patches = flat[sample, reached]  # -1, for padding, takes something that is zeroed here
        patches[reached < 0] = 0
        return patches.reshape(at.size, reached.shape[-1], -1)

    def matrix(self, kernel: np.ndarray) -> np.ndarray:
        """Puts the groups first."""
        kernel = kernel.reshape(-1, kernel.shape[-2], self.groups, kernel.shape[-1] // self.groups)
        return np.moveaxis(kernel, 2, 0).reshape(self.groups, -1, kernel.shape[-1])

    def kernel(self, matrix: np.ndarray) -> np.ndarray:
        """Puts them back beside the outputs."""
        shape = tuple(self.variable.shape)
        matrix = matrix.reshape(self.groups, -1, shape[-2], shape[-1] // self.groups)
        return np.moveaxis(matrix, 0, 2).reshape(shape)


class TransposedConvolution(Convolution):
    """A kernel (..., outputs, inputs), by which every input is spread."""

    written = -2
    transposed = True
    groups = 1

    def matrix(self, kernel: np.ndarray) -> np.ndarray:
        """Puts the outputs last."""
        return kernel.swapaxes(-1, -2).reshape(1, -1, kernel.shape[-2])

    def kernel(self, matrix: np.ndarray) -> np.ndarray:
        """Puts the inputs last."""
        *window, outputs, inputs = self.variable.shape
        return matrix.reshape(*window, inputs, outputs).swapaxes(-1, -2)


class DepthwiseConvolution(Convolution):
    """A kernel (..., channels, multiplier): one small system for each channel."""

    written = -2

    def __init__(self, layer: Any) -> None:
        self.layer = layer
        self.variable = depthwise_kernel(layer)
        self.multiplier = int(layer.depth_multiplier)

    @property
    def groups(self) -> int:
        """One system for each channel."""
        return int(self.variable.shape[-2])

    def matrix(self, kernel: np.ndarray) -> np.ndarray:
        """Puts the channels first."""
        kernel = kernel.reshape(-1, *kernel.shape[-2:])
        return kernel.swapaxes(0, 1)

    def kernel(self, matrix: np.ndarray) -> np.ndarray:
        """Puts the window first."""
        return matrix.swapaxes(0, 1).reshape(self.variable.shape)


class SeparableConvolution(Convolution):
    """The pointwise kernel behind a depthwise one, which stays."""

    groups = 1

    def __init__(self, layer: Any) -> None:
        self.layer = layer
        self.variable = layer.pointwise_kernel

    def rows(self, x: np.ndarray, sizes: Sequence[int], at: np.ndarray) -> np.ndarray:
        """Returns what the depthwise kernel makes there."""
        patches = self._patches(x, sizes, at)
        depthwise = np.asarray(self.layer.depthwise_kernel)
        depthwise = depthwise.reshape(-1, *depthwise.shape[-2:])
        return np.einsum("rkc,kcm->rcm", patches, depthwise).reshape(at.size, 1, -1)


_KINDS: dict[tuple[str, ...], type[Kernel]] = {
    ("SeparableConv1D", "SeparableConv2D"): SeparableConvolution,
    ("DepthwiseConv1D", "DepthwiseConv2D"): DepthwiseConvolution,
    ("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"): TransposedConvolution,
    ("Conv1D", "Conv2D", "Conv3D"): Convolution,
    ("Dense",): Product,
}


def kernel_of(layer: Any) -> Kernel | None:
    """Returns a layer's kernel; None if it has none that is a matrix at every position."""
    for names, kind in _KINDS.items():
        if is_a(layer, *names):
            return kind(layer)
    return None


def at_positions(x: np.ndarray, at: np.ndarray, axis: int) -> np.ndarray:
    """Returns a tensor at some positions.

    Args:
        x: The tensor, samples first.
        at: Numbers of positions, shape (samples, positions).
        axis: The axis of the channels.

    Returns:
        Rows, shape (samples * positions, channels).
    """
    x = np.moveaxis(x, axis, -1)
    flat = x.reshape(len(x), -1, x.shape[-1])
    return np.take_along_axis(flat, at[..., None], 1).reshape(at.size, -1)
