"""One layer with a kernel: what it should give, what it gets, and the weights that fit both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_spp.compensation.behind import Addition, additions, normalization
from keras_spp.compensation.kernels import Kernel, at_positions
from keras_spp.core.least_squares import Moments, choose_ridge
from keras_spp.frameworks.interface import Adapter
from keras_spp.rules.channelwise import channel_axis

ROWS = 60_000  # so many settle the moments of some hundred inputs
HELD_OUT = 4  # every so many-th sample chooses the ridge
ALIKE = 1e-9  # relative square error of outputs that are the same but for rounding
UNLIKE = 1e-2  # relative error of outputs that are not the kernel's


@dataclass(frozen=True)
class Loss:
    """What pruning took from a layer's outputs, and what compensation left of that.

    Attributes:
        layer: The layer's name.
        before: The mean square error of its outputs, before the activation, relative to their
            variance, with the weights as they were; None if it was not looked at.
        after: The same with the weights that were solved for.
        reason: Why the layer was left alone; "" if it was not.
    """

    layer: str
    before: float | None = None
    after: float | None = None
    reason: str = ""


class Pair:
    """A layer with a kernel that is to be solved for, and the original's.

    Args:
        framework: The adapter of both models.
        lockstep: The models.
        calls: Which of their calls are the layer's, in order.
        kernels: The layer's kernel and the original's.
        keep: Which outputs of the original's layer are left, booleans; None for all.
        mask: What the kernel is multiplied with in a pruned model; None for nothing.
        residual: Whether the layer gives an addition behind it what its other inputs lack.
        random: Chooses the positions that are looked at.
        samples: How many samples will come.
    """

    def __init__(
        self,
        framework: Adapter,
        lockstep: Any,
        calls: Sequence[int],
        kernels: tuple[Kernel, Kernel],
        *,
        keep: np.ndarray | None,
        mask: np.ndarray | None,
        residual: bool,
        random: np.random.Generator,
        samples: int,
    ) -> None:
        self.framework, self.lockstep, self.calls = framework, lockstep, list(calls)
        self.kernel, self.original = kernels
        self.name = self.kernel.layer.name
        self._keep = slice(None) if keep is None else np.flatnonzero(keep)
        self._mask, self._random, self._samples = mask, random, samples
        self._normalization = normalization(framework, lockstep, calls, self.kernel)
        self._additions: dict[int, Addition] = {}
        if residual:
            self._additions = additions(
                framework, lockstep, calls, self.kernel, self._normalization
            )
        self._target = self.original.matrix(framework.read(self.original.variable))
        self._moments, self._held_out = Moments(), Moments()
        self._unlike = False

    def watches(self) -> dict[int, Callable[[Any, Any], None]]:
        """Returns what is called before each call of the layer is made."""
        return {at: lambda *tensors, at=at: self._look(at, *tensors) for at in self.calls}

    def _look(self, at: int, tensors: Any, originals: Any) -> None:
        """Takes rows of one batch of samples."""
        x, of_original = (self._input(at, values) for values in (tensors, originals))
        shape = self.framework.output_shape(self.original.layer, of_original.shape)
        sizes = self.original.outputs(shape)
        positions = self._positions(len(x), int(np.prod(sizes)))
        inputs = self.kernel.rows(x, sizes, positions)
        outputs = self._outputs(of_original, sizes, positions)
        if not self._moments.rows:
            self._compare(of_original, outputs, positions)
        if at in self._additions:
            addition = self._additions[at]
            outputs = outputs + addition.lacking(tensors, originals, shape, positions, self._keep)
        outputs = outputs.reshape(len(outputs), inputs.shape[1], -1)
        held_out = np.arange(len(x)) % HELD_OUT == HELD_OUT - 1
        held_out = np.repeat(held_out, positions.shape[1])
        self._moments.add(inputs[~held_out], outputs[~held_out])
        if held_out.any():
            self._held_out.add(inputs[held_out], outputs[held_out])

    def _input(self, at: int, tensors: Any) -> np.ndarray:
        step = self.lockstep.steps[at]
        x = np.asarray(tensors[step.inputs[0]])
        return x.reshape(-1, *x.shape[2:]) if step.repeated else x

    def _positions(self, samples: int, count: int) -> np.ndarray:
        """Chooses positions, as many in each sample, spread over it: all if they are few."""
        steps = max(samples // self.lockstep.batch, 1)  # of a layer that is repeated in time
        some = -(-ROWS // (self._samples * steps * len(self.calls)))
        if some >= count:
            return np.tile(np.arange(count), (samples, 1))
        strata = np.arange(some) + self._random.random((samples, some))
        return np.minimum((strata * count / some).astype(int), count - 1)

    def _outputs(self, x: np.ndarray, sizes: Any, positions: np.ndarray) -> np.ndarray:
        """Computes the original's outputs that are left, before the activation."""
        rows = self.original.rows(x, sizes, positions)
        if len(self._target) == 1:
            outputs = rows[:, 0] @ self._target[0][:, self._keep]
        else:
            outputs = np.einsum("rgd,gdo->rgo", rows, self._target)
            outputs = outputs.reshape(len(rows), -1)[:, self._keep]
        if self.original.bias is not None:
            outputs = outputs + self.framework.read(self.original.bias)[self._keep]
        return outputs

    def _compare(self, x: np.ndarray, outputs: np.ndarray, positions: np.ndarray) -> None:
        """Notes whether the original layer computes something else than its kernel says."""
        layer = self.original.layer
        actual = np.asarray(self.framework.called(layer, x), np.float64)
        actual = at_positions(actual, positions, channel_axis(layer))
        if layer.activation is not None and isinstance(self._keep, slice):
            outputs = np.asarray(self.framework.activated(layer, outputs), np.float64)
        elif layer.activation is not None:  # which may be one of all channels together
            every = np.zeros_like(actual)
            every[:, self._keep] = outputs
            outputs = np.asarray(self.framework.activated(layer, every))[:, self._keep]
        difference = np.square(outputs - actual[:, self._keep]).mean()
        self._unlike = not difference <= UNLIKE**2 * np.square(actual).mean()

    def solve(self) -> Loss:
        """Gives the layer the weights of least error, and returns what that changed.

        Raises:
            FloatingPointError: If samples make values that are not finite.
        """
        if self._unlike:
            return Loss(self.name, reason="computes something else than its kernel says")
        read, kernel = self.framework.read, self.kernel
        intercept = self._intercept()
        system = (self._moments + self._held_out).system(intercept is not None)
        if not (np.isfinite(system.inputs).all() and np.isfinite(system.energy).all()):
            raise FloatingPointError(self.name)
        old = read(kernel.variable).astype(np.float64)
        mask = np.broadcast_to(1.0 if self._mask is None else self._mask, old.shape)
        matrix = kernel.matrix(old * mask)
        active = np.abs(matrix).max(-1) > 0
        scale = system.energy.sum()
        before = system.error(matrix).sum()
        if intercept is not None:
            before += np.square(system.intercept(matrix).reshape(-1) - intercept).sum()
        if before <= ALIKE * scale:
            return Loss(self.name, 0.0, 0.0)
        ridge = choose_ridge(
            self._moments.system(intercept is not None),
            self._held_out.system(intercept is not None),
            matrix,
            active,
        )
        matrix = system.solve(matrix, ridge, active)
        self.framework.write(kernel.variable, np.where(mask == 0, old, kernel.kernel(matrix)))
        if kernel.bias is not None:
            self.framework.write(kernel.bias, system.intercept(matrix).reshape(-1))
        elif self._normalization is not None:
            self._normalization.assign(system.intercept(matrix).reshape(-1), self._keep)
        return Loss(self.name, float(before / scale), float(system.error(matrix).sum() / scale))

    def _intercept(self) -> np.ndarray | None:
        """Returns what is added to the layer's outputs now; None if nothing can be."""
        if self.kernel.bias is not None:
            return self.framework.read(self.kernel.bias).reshape(-1)
        if self._normalization is not None:
            return self._normalization.intercept(self._keep)
        return None
