"""Which groups of inputs can be made up for: the error that stays when the rest is solved for.

Without a group g of the rows of weights W, the least squares error of outputs rises by
sum(w_g' ([H^-1]_gg)^-1 w_g) at least, H being the second moments of the inputs; the other weights
that reach this, and their inverse moments, follow in closed form (Hassibi and Stork, 1993; for
groups Kurtic et al., "ZipLM", 2023). Groups go one after the other, the cheapest first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RIDGE = 1e-3  # of the mean square of an input


@dataclass
class Rows:
    """One system of least squares of a layer that reads groups.

    Attributes:
        weights: Its weights, shape (d, outputs).
        moments: The second moments of its inputs, shape (d, d).
        places: The rows of each group, shape (groups, rows); each group has as many, maybe none.
        scale: What errors are divided by: the sum of the outputs' variances.
    """

    weights: np.ndarray
    moments: np.ndarray
    places: np.ndarray
    scale: float

    def __post_init__(self) -> None:
        ridge = RIDGE * np.trace(self.moments) / len(self.moments) or 1.0
        self.inverse = np.linalg.inv(self.moments + ridge * np.eye(len(self.moments)))
        self.weights = self.weights.astype(np.float64)

    def costs(self, groups: np.ndarray) -> np.ndarray:
        """Returns what each of these groups costs now."""
        places = self.places[groups]
        blocks = self.inverse[places[:, :, None], places[:, None, :]]
        weights = self.weights[places]  # (groups, rows, outputs)
        return (weights * np.linalg.solve(blocks, weights)).sum((1, 2)) / self.scale

    def remove(self, group: int) -> None:
        """Takes a group away and lets the others make up for it."""
        rows = self.places[group]
        block = np.linalg.inv(self.inverse[np.ix_(rows, rows)])
        across = self.inverse[:, rows] @ block
        self.weights -= across @ self.weights[rows]
        self.inverse -= across @ self.inverse[rows]
        # Rounding would let what is gone come back.
        self.weights[rows] = 0


def eliminated(systems: Sequence[Rows], groups: int) -> np.ndarray:
    """Returns what is lost in all when each group goes in its turn, shape (groups,).

    Args:
        systems: All that read the groups.
        groups: How many there are.

    Example:
        >>> rows = Rows(np.ones((3, 1)), np.diag([1.0, 3.0, 2.0]), np.arange(3)[:, None], 1.0)
        >>> eliminated([rows], 3).round(1).tolist()
        [1.0, 6.0, 3.0]
    """
    lost = np.zeros(groups)
    left = np.arange(groups)
    total = 0.0
    while len(left):
        costs = sum(rows.costs(left) for rows in systems)
        index = int(np.argmin(costs))
        group = int(left[index])
        total += max(float(np.asarray(costs)[index]), 0.0)
        lost[group] = total
        left = np.delete(left, index)
        for rows in systems:
            rows.remove(group)
    return lost
