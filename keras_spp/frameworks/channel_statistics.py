"""Statistics of channels, given back to them after something has been taken from the network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

FEW = 32  # positions and samples of which statistics would say too little
Moments = tuple[Any, Any]  # means, deviations


class ChannelStatistics:
    """Gives each channel the mean and the standard deviation that it had in the dense network.

    Until the first `replay` it records what comes by. From then on it restores that, call by call
    in the same order. An adapter's own class computes with its tensors.
    """

    def __init__(self) -> None:
        self._recorded: list[Moments] = []
        self._wanted: Iterator[Moments] | None = None

    def replay(self) -> None:
        """Takes the next call for the first one that was recorded."""
        self._wanted = iter(self._recorded)

    def restored(self, x: Any, axis: int) -> Any:
        """Returns a tensor with the statistics that were recorded; itself while they are recorded.

        Args:
            x: A tensor of a static shape. One of integers, or with few elements in each channel,
                passes as it is.
            axis: The axis of its channels.
        """
        others = [other for other in range(len(x.shape)) if other != axis % len(x.shape)]
        if not self.is_floating(x) or np.prod([x.shape[other] for other in others]) < FEW:
            return x
        moments = self.moments(x, others)
        if self._wanted is None:
            self._recorded.append(moments)
            return x
        return self.moved(x, moments, next(self._wanted))

    def is_floating(self, x: Any) -> bool:
        """Tells whether a tensor is of floats."""
        raise NotImplementedError

    def moments(self, x: Any, axes: Sequence[int]) -> Moments:
        """Returns means and deviations over axes, which stay with size 1, in float32."""
        raise NotImplementedError

    def moved(self, x: Any, moments: Moments, wanted: Moments) -> Any:
        """Returns a tensor of these moments with others, in its own type."""
        raise NotImplementedError
