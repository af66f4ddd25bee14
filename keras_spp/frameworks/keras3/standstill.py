"""Weights that are trained while the counter of training steps stands still: told, not waited for.

Pruning goes by the steps of one optimizer. A training loop that applies another one trains the
masked network for ever with the masks of one step. That is seen from outside, whenever somebody
looks at the model: a weight is another one, but no step was counted.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from keras_spp.frameworks.keras3.variables import read

# One change without a step may be a restored checkpoint.
PATIENCE = 2


class Standstill:
    """The record of one model.

    Args:
        masked: One of its masked weights.
    """

    def __init__(self, masked: Any) -> None:
        self._masked = masked
        self._seen: tuple[int, np.ndarray] | None = None
        self._times = 0

    def note(self, moved: Any, weights: Any) -> None:
        """Does nothing: inside of a training step nothing is compared."""

    def forget(self) -> None:
        """Begins anew, with another optimizer."""
        self._seen, self._times = None, 0

    def tell(self, optimizer: Any, stacklevel: int = 3) -> None:
        """Compares with the last time, and warns if that is the case.

        Args:
            optimizer: The one whose steps are counted.
            stacklevel: As for `warnings.warn`.
        """
        if optimizer is None:
            return
        step = int(read(optimizer.iterations))
        weight = read(self._masked.weight).ravel()[:256].copy()
        if self._seen is not None and self._seen[0] == step:
            self._times += not np.array_equal(self._seen[1], weight)
        else:
            self._times = 0
        self._seen = step, weight
        if self._times >= PATIENCE:
            warnings.warn(
                f"SPP stands still: training has changed the weights but not the step counter of "
                f"the {type(optimizer).__name__} that pruning goes by, so nothing is pruned: make "
                f"spp.Pruner(model, optimizer) with the optimizer that the training loop applies.",
                stacklevel=stacklevel,
            )
