"""What the original's layers give: computed once, and remembered where many plans are tried."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

MEMORY = 2**30  # bytes of what is remembered, at most


@dataclass(frozen=True)
class Wanted:
    """What one call of an original layer gives for one batch of samples.

    Attributes:
        sizes: Those of its feature map without the channels.
        positions: At which positions of each sample it is looked at, shape (samples, positions).
        outputs: What it gives there, before the activation, float32 of shape
            (samples * positions, channels).
        others: What an addition behind it takes besides, rows like the outputs; None without an
            addition, or if that is not there yet.
        unlike: Whether the layer computes something else than its kernel says.
    """

    sizes: Sequence[int]
    positions: np.ndarray
    outputs: np.ndarray
    others: list[np.ndarray] | None
    unlike: bool

    @property
    def bytes(self) -> int:
        """How much memory that takes."""
        arrays = [self.positions, self.outputs, *(self.others or [])]
        return sum(array.nbytes for array in arrays)


class Recorded:
    """What an original gives for samples, remembered from the first plan that needs it.

    Args:
        most: Bytes that are remembered at most: if all of it would take more, nothing is.

    Attributes:
        complete: Whether everything is there, so that the original need not run any more.
    """

    def __init__(self, most: int = MEMORY) -> None:
        self.complete = False
        self._left: int = most
        self._parts: dict[tuple[int, int], Wanted] = {}

    def of(self, call: int, batch: int, compute: Callable[[], Wanted]) -> Wanted:
        """Returns what a call gives for a batch of samples, and remembers it if it has to compute.

        Args:
            call: The number of the call.
            batch: The number of the batch.
            compute: Computes it.
        """
        key = call, batch
        if key in self._parts:
            return self._parts[key]
        wanted = compute()
        self._left -= wanted.bytes
        if self._left >= 0:
            self._parts[key] = wanted
        return wanted

    def close(self) -> None:
        """Says that all has been asked for."""
        self.complete = self._left >= 0
        if not self.complete:
            self._parts = {}
