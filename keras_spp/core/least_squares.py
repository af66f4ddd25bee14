"""Least squares from second moments: the weights that give what a layer gave before.

Inputs X (rows, d) and wanted outputs Y (rows, outputs) are never kept, only their sums and
products, in float64. With means removed, H = X'X / rows and C = X'Y / rows, the weights are

    W = (H + lam I)^-1 (C + lam W_old),    lam = ridge * trace(H) / d

pulled towards the old weights, so that few samples change little. A layer may consist of several
systems, the groups of a grouped convolution: then every array has them as its first axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)


class Moments:
    """Sums and products of inputs and wanted outputs.

    Example:
        >>> moments = Moments()
        >>> x = np.arange(6.0).reshape(6, 1, 1)
        >>> moments.add(x, 2 * x + 3)
        >>> system = moments.system(intercept=True)
        >>> system.solve(np.zeros((1, 1, 1)), ridge=0).round(6).item()
        2.0
    """

    def __init__(self) -> None:
        self.rows = 0
        self._sums: list[np.ndarray] = []

    def add(self, x: np.ndarray, y: np.ndarray) -> None:
        """Takes rows.

        Args:
            x: Inputs, shape (rows, systems, d).
            y: Wanted outputs, shape (rows, systems, outputs).
        """
        x = np.moveaxis(np.asarray(x, np.float64), 1, 0)
        y = np.moveaxis(np.asarray(y, np.float64), 1, 0)
        across = x.swapaxes(1, 2)
        sums = [x.sum(1), y.sum(1), across @ x, across @ y, np.square(y).sum(1)]
        if self._sums:
            for total, part in zip(self._sums, sums, strict=True):
                total += part
        else:
            self._sums = sums
        self.rows += x.shape[1]

    def __add__(self, other: Moments) -> Moments:
        """Adds the moments of two sets of rows; either may be empty."""
        result = Moments()
        result.rows = self.rows + other.rows
        if self._sums and other._sums:
            result._sums = [a + b for a, b in zip(self._sums, other._sums, strict=True)]
        else:
            result._sums = self._sums or other._sums
        return result

    def system(self, intercept: bool) -> System:
        """Returns the equations; without an intercept the means are not removed."""
        x, y, xx, xy, yy = (total / max(self.rows, 1) for total in self._sums)
        if not intercept:
            return System(xx, xy, yy, np.zeros_like(x), np.zeros_like(y))
        return System(
            xx - x[:, :, None] * x[:, None, :],
            xy - x[:, :, None] * y[:, None, :],
            np.maximum(yy - np.square(y), 0),
            x,
            y,
        )


@dataclass(frozen=True)
class System:
    """The normal equations of one layer.

    Attributes:
        inputs: H, shape (systems, d, d).
        products: C, shape (systems, d, outputs).
        energy: Mean squares of the wanted outputs, shape (systems, outputs).
        input_means: What was removed from the inputs, shape (systems, d).
        output_means: And from the outputs, shape (systems, outputs).
    """

    inputs: np.ndarray
    products: np.ndarray
    energy: np.ndarray
    input_means: np.ndarray
    output_means: np.ndarray

    @cached_property
    def _scale(self) -> np.ndarray:
        return np.trace(self.inputs, axis1=1, axis2=2) / self.inputs.shape[1]

    def solve(
        self, old: np.ndarray, ridge: float, active: np.ndarray | None = None
    ) -> np.ndarray:
        """Returns the weights of least error.

        Args:
            old: The weights so far, shape (systems, d, outputs).
            ridge: The pull towards them, relative to the mean square of an input, at least 0.
            active: Which inputs have weights, shape (systems, d); the others' stay as they are.
        """
        weights = old.astype(np.float64)
        for number in range(len(old)):
            at = slice(None) if active is None else np.flatnonzero(active[number])
            h = self.inputs[number][at][:, at]
            # Rounding leaves a system of constant inputs with a trace of almost nothing.
            pull = ridge * self._scale[number] + np.finfo(float).eps * np.square(
                self.input_means[number]
            ).max(initial=0.0)
            if not h.size or not self._scale[number] > 0:
                continue
            # Without the part that the other inputs explain, which keep their weights.
            rest = self.products[number] - self.inputs[number] @ old[number]
            change = rest[at]
            weights[number][at] += np.linalg.solve(h + pull * np.eye(len(h)), change)
        return weights

    def error(self, weights: np.ndarray) -> np.ndarray:
        """Returns each output's mean square error, shape (systems, outputs)."""
        explained = 2 * self.products - self.inputs @ weights
        return np.maximum(self.energy - (weights * explained).sum(1), 0)

    def intercept(self, weights: np.ndarray) -> np.ndarray:
        """Returns what has to be added to each output, shape (systems, outputs)."""
        return self.output_means - np.einsum("sd,sdo->so", self.input_means, weights)


def choose_ridge(
    fitted: System,
    held_out: System,
    old: np.ndarray,
    active: np.ndarray | None = None,
    ridges: Sequence[float] = RIDGES,
) -> float:
    """Returns the ridge whose weights do best on rows that they were not fitted to.

    Args:
        fitted: The system of most rows.
        held_out: That of others.
        old: The weights so far.
        active: As for `System.solve`.
        ridges: What to choose from.
    """
    scale = np.maximum(held_out.energy, 1e-6 * held_out.energy.mean() + np.finfo(float).tiny)

    def error(ridge: float) -> float:
        return float((held_out.error(fitted.solve(old, ridge, active)) / scale).mean())

    return min(ridges, key=error)
