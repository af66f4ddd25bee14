"""The layout of groups in a weight: converts between values per group and per element."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

Array = Any


@dataclass(frozen=True, eq=False)
class Layout:
    """The places of a layer's groups in one of its weights.

    Attributes:
        shape: Shape of the mask; it broadcasts against the weight.
        index: For each position of the mask in C order its group, one past the last for
            positions that are never pruned; None if the positions are the groups.
        groups: Number of the layer's groups.

    Example:
        >>> from keras_spp.core import arrays
        >>> Layout([3, 1], [0, 2, 1], groups=2).spread(arrays, np.array([5.0, 7.0])).tolist()
        [[5.0], [1.0], [7.0]]
    """

    shape: list[int]
    index: list[int] | None
    groups: int

    def spread(self, arrays: ModuleType, values: Array) -> Array:
        """Spreads one value per group over the mask's shape; 1 where nothing is ever pruned."""
        if self.index is not None:
            never = arrays.ones([1], values.dtype)
            values = arrays.take(arrays.concatenate([values, never]), np.asarray(self.index))
        return arrays.reshape(values, self.shape)

    def summed(self, arrays: ModuleType, values: Array) -> Array:
        """Sums values of the weight's elements in every group, shape (groups,)."""
        others = [axis for axis, size in enumerate(self.shape) if size == 1]
        values = arrays.reshape(arrays.sum(values, others), [-1])
        if self.index is None:
            return values
        return arrays.segment_sum(values, np.asarray(self.index), self.groups + 1)[: self.groups]

    def place(self, values: np.ndarray, groups: np.ndarray) -> None:
        """Copies values by position along this weight's axis of channels to `groups`, by group."""
        index = np.arange(self.groups) if self.index is None else np.asarray(self.index)
        groups[index[index < self.groups]] = values[index < self.groups]


@dataclass(frozen=True, eq=False)
class WeightMask:
    """A weight of which groups can be pruned.

    Attributes:
        variable: The weight.
        path: The attribute of its layer that holds it, like "kernel" or "cell.kernel".
        layout: Where the groups of its layer lie in it.
    """

    variable: Any
    path: str
    layout: Layout

    def config(self) -> dict[str, Any]:
        """Returns the part of a wrapper's config that describes this weight."""
        return {"path": self.path, "shape": self.layout.shape, "index": self.layout.index}
