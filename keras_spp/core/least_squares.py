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
from typing import Protocol

import numpy as np
from scipy import linalg

RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)


class System(Protocol):
    """The least squares of one layer.

    Attributes:
        energy: Mean squares of the wanted outputs, shape (systems, outputs).
        input_means: What was removed from the inputs, shape (systems, d).
        output_means: And from the outputs, shape (systems, outputs).
    """

    energy: np.ndarray
    input_means: np.ndarray
    output_means: np.ndarray

    def solve(self, old: np.ndarray, ridge: float, active: np.ndarray | None = None) -> np.ndarray:
        """Returns the weights of least error.

        Args:
            old: The weights so far, shape (systems, d, outputs).
            ridge: The pull towards them, relative to the mean square of an input, at least 0.
            active: Which inputs have weights, shape (systems, d); the others' stay as they are.
        """

    def error(self, weights: np.ndarray) -> np.ndarray:
        """Returns each output's mean square error, shape (systems, outputs)."""

    def variance(self, weights: np.ndarray) -> np.ndarray:
        """Returns the variance of what the weights make, shape (systems, outputs)."""

    def intercept(self, weights: np.ndarray) -> np.ndarray:
        """Returns what has to be added to each output, shape (systems, outputs)."""
        return self.output_means - np.einsum("sd,sdo->so", self.input_means, weights)


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
        x, y = _by_system(x), _by_system(y)
        across = x.swapaxes(1, 2)
        sums = [x.sum(1), y.sum(1), across @ x, across @ y, np.square(y).sum(1)]
        if self._sums:
            for total, part in zip(self._sums, sums, strict=True):
                total += part
        else:
            self._sums = sums
        self.rows += x.shape[1]

    def __add__(self, other: Moments) -> Moments:
        """Returns the moments of two sets of rows together."""
        result = Moments()
        result.rows = self.rows + other.rows
        result._sums = self._sums or other._sums
        if self._sums and other._sums:
            result._sums = [a + b for a, b in zip(self._sums, other._sums, strict=True)]
        return result

    def system(self, intercept: bool) -> NormalEquations:
        """Returns the equations; without an intercept the means are not removed."""
        x, y, xx, xy, yy = (total / self.rows for total in self._sums)
        if not intercept:
            return NormalEquations(xx, xy, yy, np.zeros_like(x), np.zeros_like(y))
        return NormalEquations(
            xx - x[:, :, None] * x[:, None, :],
            xy - x[:, :, None] * y[:, None, :],
            np.maximum(yy - np.square(y), 0),
            x,
            y,
        )


@dataclass(frozen=True)
class NormalEquations(System):
    """Least squares with more rows than inputs.

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

    def solve(self, old: np.ndarray, ridge: float, active: np.ndarray | None = None) -> np.ndarray:
        """Solves for what has to be added to the old weights."""
        weights = old.astype(np.float64)
        if active is None:
            active = np.ones(weights.shape[:2], bool)
        # What the old weights leave to explain; inputs that are not active have none.
        missing = self.products - self.inputs @ weights
        at = np.flatnonzero(active.any(0))  # of a single system, what is not active is left out
        weights[:, at] += _solved(
            self.inputs[:, at][:, :, at], missing[:, at], ridge, active[:, at], self.input_means
        )
        return weights

    def variance(self, weights: np.ndarray) -> np.ndarray:
        """Multiplies the second moments by the weights from both sides."""
        return np.maximum((weights * (self.inputs @ weights)).sum(1), 0)

    def error(self, weights: np.ndarray) -> np.ndarray:
        """Multiplies the square out."""
        explained = 2 * self.products - self.inputs @ weights
        return np.maximum(self.energy - (weights * explained).sum(1), 0)


class FewRows:
    """Fewer rows than inputs: they are kept, as they take less than their products would.

    Example:
        >>> rows = FewRows()
        >>> rows.add(np.ones((2, 1, 5)), np.array([1.0, 3.0]).reshape(2, 1, 1))
        >>> rows.system(intercept=True).intercept(np.zeros((1, 5, 1))).item()
        2.0
    """

    def __init__(self) -> None:
        self._parts: list[tuple[np.ndarray, np.ndarray]] = []

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return sum(x.shape[1] for x, _ in self._parts)

    def add(self, x: np.ndarray, y: np.ndarray) -> None:
        """Takes rows, as `Moments` does."""
        self._parts.append((_by_system(x), _by_system(y)))

    def __add__(self, other: FewRows) -> FewRows:
        """Returns both sets of rows together."""
        result = FewRows()
        result._parts = self._parts + other._parts
        return result

    def system(self, intercept: bool) -> DualEquations:
        """Returns the equations; without an intercept the means are not removed."""
        x, y = (np.concatenate(parts, 1) for parts in zip(*self._parts, strict=True))
        input_means, output_means = x.mean(1) * intercept, y.mean(1) * intercept
        return DualEquations(
            x - input_means[:, None], y - output_means[:, None], input_means, output_means
        )


@dataclass(frozen=True)
class DualEquations(System):
    """Least squares with fewer rows than inputs: one unknown for each row.

    Attributes:
        x: Inputs, shape (systems, rows, d).
        y: Wanted outputs, shape (systems, rows, outputs).
        input_means: What was removed from the inputs, shape (systems, d).
        output_means: And from the outputs, shape (systems, outputs).
    """

    x: np.ndarray
    y: np.ndarray
    input_means: np.ndarray
    output_means: np.ndarray

    @property
    def energy(self) -> np.ndarray:  # type: ignore[override]
        """Mean squares of the wanted outputs."""
        return np.square(self.y).mean(1)

    def solve(self, old: np.ndarray, ridge: float, active: np.ndarray | None = None) -> np.ndarray:
        """Solves for what has to be added to the old weights: X'(XX' + rows lam I)^-1 (Y - XW)."""
        weights = old.astype(np.float64)
        for number, (x, y) in enumerate(zip(self.x, self.y, strict=True)):
            at = slice(None) if active is None else np.flatnonzero(active[number])
            missing, x = y - x @ weights[number], x[:, at]
            spread = np.square(x).mean() if x.size else 0.0
            if spread > _rounding(self.input_means[number]):
                kernel = x @ x.T + len(x) * ridge * spread * np.eye(len(x))
                unknowns = linalg.solve(kernel, missing, assume_a="pos", check_finite=False)
                weights[number][at] += x.T @ unknowns
        return weights

    def variance(self, weights: np.ndarray) -> np.ndarray:
        """Computes the outputs."""
        return np.square(self.x @ weights).mean(1)

    def error(self, weights: np.ndarray) -> np.ndarray:
        """Computes the outputs."""
        return np.square(self.y - self.x @ weights).mean(1)


def _solved(
    inputs: np.ndarray, missing: np.ndarray, ridge: float, active: np.ndarray, means: np.ndarray
) -> np.ndarray:
    """Returns what is to be added to the weights of several systems, by one call for all."""
    systems, d, _ = inputs.shape
    squares = np.where(active, np.diagonal(inputs, axis1=1, axis2=2), 0)
    spread = squares.sum(1) / np.maximum(active.sum(1), 1)
    varies = spread > np.finfo(float).eps * np.square(means).max(1, initial=0.0)
    # An input that shall not change gets an equation of its own: 1 * change = 0.
    active = active & varies[:, None]
    pull = np.where(active, (ridge * spread)[:, None], 1.0)
    inputs = np.where(active[:, :, None] & active[:, None, :], inputs, 0)
    diagonal = np.arange(d)
    inputs[:, diagonal, diagonal] += pull
    missing = np.where(active[:, :, None], missing, 0)
    if systems > 1:
        return np.linalg.solve(inputs, missing)
    return linalg.solve(inputs[0], missing[0], assume_a="pos", check_finite=False)[None]


def _by_system(rows: np.ndarray) -> np.ndarray:
    return np.moveaxis(np.asarray(rows, np.float64), 1, 0)


def _rounding(means: np.ndarray) -> float:
    """Returns the variance that rounding makes of inputs that are constant."""
    return float(np.finfo(float).eps * np.square(means).max(initial=0.0))


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
