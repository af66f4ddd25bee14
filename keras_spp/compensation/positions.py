"""Which positions of feature maps are looked at: not all are needed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

ROWS = 60_000  # so many settle the second moments of some hundred inputs


def per_sample(sizes: Sequence[int], samples: int, rows: int = ROWS) -> int:
    """Returns how many of the positions of one sample are looked at.

    Args:
        sizes: Those of a feature map without its channels.
        samples: How many samples there are.
        rows: How many positions are enough, in all samples together.

    Example:
        >>> per_sample((32, 32), samples=1000), per_sample((), samples=1000)
        (60, 1)
    """
    return min(int(np.prod(sizes)), -(-rows // samples))


def chosen(
    random: np.random.Generator, batch: int, sizes: Sequence[int], samples: int, rows: int = ROWS
) -> np.ndarray:
    """Chooses positions of each sample of a batch, spread over it: all if they are few.

    Returns:
        Numbers of positions, shape (batch, positions).
    """
    every, some = int(np.prod(sizes)), per_sample(sizes, samples, rows)
    if some == every:
        return np.tile(np.arange(every), (batch, 1))
    strata = np.arange(some) + random.random((batch, some))
    return np.minimum((strata * every / some).astype(int), every - 1)
