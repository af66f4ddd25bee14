"""What a convolution's outputs are computed from: for each output position, its input positions.

Positions of an input or an output are numbered in C order over the spatial axes. A window that
reaches over the edge has -1 in the places of the padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Window:
    """The geometry of a convolution.

    Attributes:
        kernel: Its sizes, one for each spatial axis.
        strides: The steps from one output to the next.
        dilation: The steps from one element of the kernel to the next.
        padding: "valid", "same" or "causal", as Keras names them.
        transposed: Whether every input is spread over a window of outputs, and not the reverse.
    """

    kernel: Sequence[int]
    strides: Sequence[int]
    dilation: Sequence[int]
    padding: str
    transposed: bool = False

    def inputs(self, sizes: Sequence[int], outputs: Sequence[int], at: np.ndarray) -> np.ndarray:
        """Returns the input positions that the kernel meets at some output positions.

        Args:
            sizes: The input's, one for each spatial axis.
            outputs: The output's.
            at: Output positions of any shape.

        Returns:
            Input positions, shape (*at.shape, elements of the kernel), -1 for padding.

        Example:
            >>> Window([3], [1], [1], "same").inputs([4], [4], np.array([0, 1]))
            array([[-1,  0,  1],
                   [ 0,  1,  2]])
        """
        reached = np.zeros((*at.shape, 1), int)
        inside = np.ones((*at.shape, 1), bool)
        for axis, (size, coordinate) in enumerate(
            zip(sizes, np.unravel_index(at, tuple(outputs)), strict=True)
        ):
            positions = self._along(axis, size, outputs[axis])[coordinate]
            reached = reached[..., None] * size + positions[..., None, :]
            inside = inside[..., None] & (positions >= 0)[..., None, :]
            reached, inside = (array.reshape(*at.shape, -1) for array in (reached, inside))
        return np.where(inside, reached, -1)

    def _along(self, axis: int, size: int, outputs: int) -> np.ndarray:
        """Returns the input positions along one axis, shape (outputs, elements)."""
        stride, element = self.strides[axis], self.dilation[axis] * np.arange(self.kernel[axis])
        span = self.dilation[axis] * (self.kernel[axis] - 1) + 1
        if not self.transposed:
            before = self._before(size, outputs, stride, span)
            positions = stride * np.arange(outputs)[:, None] - before + element
            return np.where((positions >= 0) & (positions < size), positions, -1)
        # The gradient of a convolution from the outputs to the inputs: its padding is that one's.
        before = self._before(outputs, size, stride, span)
        starts = np.arange(outputs)[:, None] + before - element
        positions, rest = np.divmod(starts, stride)
        return np.where((rest == 0) & (positions >= 0) & (positions < size), positions, -1)

    def _before(self, size: int, outputs: int, stride: int, span: int) -> int:
        """Returns how much padding is put before an axis."""
        if self.padding == "causal":
            return span - 1
        if self.padding == "valid":
            return 0
        return max((outputs - 1) * stride + span - size, 0) // 2
