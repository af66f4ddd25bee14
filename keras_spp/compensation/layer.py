"""One layer with a kernel: what it should give, what it gets, and the weights that fit both."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_spp.compensation.behind import Addition, additions, normalization
from keras_spp.compensation.kernels import WIDE, Kernel, at_positions
from keras_spp.compensation.positions import chosen, per_sample
from keras_spp.compensation.report import LayerLoss
from keras_spp.compensation.wanted import Recorded, Wanted
from keras_spp.core.least_squares import FewRows, Moments, choose_ridge
from keras_spp.frameworks.interface import Adapter
from keras_spp.rules.channelwise import channel_axis
from keras_spp.util.threads import threads_for

FEW = 4_000  # rows of a layer with many inputs: to keep them takes less than their products
HELD_OUT = 4  # every so many-th sample chooses the ridge
CAREFUL = 0.1  # the ridge where nothing could be held out
ALIKE = 1e-9  # relative square error of outputs that are the same but for rounding
COMPARED = 8  # samples tell whether the original layer computes what its kernel says
UNLIKE = 1e-2  # relative error of outputs that are not the kernel's


class Pair:
    """A layer with a kernel that is to be solved for, and the original's.

    Args:
        framework: The adapter of both models.
        lockstep: The models.
        calls: Which of their calls are the layer's, in order.
        kernels: The layer's kernel and the original's.
        keep: Which outputs of the original's layer are left, booleans.
        mask: What the kernel is multiplied with in a pruned model; None for nothing.
        ridge: The pull to the old weights; None for the one that does best on held-out samples.
        residual: Whether the layer gives an addition behind it what its other inputs lack.
        rows: How many positions to look at, about.
        random: Chooses the positions that are looked at.
        recorded: Remembers what the original's layer gives.
    """

    def __init__(
        self,
        framework: Adapter,
        lockstep: Any,
        calls: Sequence[int],
        kernels: tuple[Kernel, Kernel],
        *,
        keep: np.ndarray,
        mask: np.ndarray | None,
        ridge: float | None,
        residual: bool,
        rows: int,
        random: np.random.Generator,
        recorded: Recorded,
    ) -> None:
        self.framework, self.lockstep, self.calls = framework, lockstep, list(calls)
        self.kernel, self.original = kernels
        self.name = self.kernel.layer.name
        self._keep = np.flatnonzero(keep)
        self._mask, self._fixed_ridge, self._random = mask, ridge, random
        self._recorded, self._looks = recorded, dict.fromkeys(self.calls, 0)
        self._normalization = normalization(framework, lockstep, calls, self.kernel)
        self._additions: dict[int, Addition] = {}
        if residual:
            behind = additions(framework, lockstep, calls, self.kernel, self._normalization)
            self._additions = behind
        self._target = self.original.matrix(framework.read(self.original.variable))
        self._rows = min(rows, FEW) if self.kernel.inputs() > WIDE else rows
        self._fitted: Any = None
        self._held_out: Any = None
        self._seen = 0
        self._unlike = False

    def watches(self) -> dict[int, Callable[[Any, Any], None]]:
        """Returns what is called before each call of the layer is made."""

        def watch(at: int, tensors: Any, originals: Any) -> None:
            with threads_for(self.kernel.inputs()):
                self._look(at, tensors, originals)

        return {at: functools.partial(watch, at) for at in self.calls}

    def _look(self, at: int, tensors: Any, originals: Any) -> None:
        """Takes rows of one batch of samples."""
        x, steps = self._input(at, tensors)
        compute = functools.partial(self._wanted, at, steps, originals)
        wanted = self._recorded.of(at, self._looks[at], compute)
        self._looks[at] += 1
        inputs = self.kernel.rows(x, wanted.sizes, wanted.positions)
        outputs = wanted.outputs[:, self._keep]
        if self._fitted is None:
            self._unlike = wanted.unlike
            samples = self._samples(steps)
            few = samples * per_sample(wanted.sizes, samples, self._rows) < inputs.shape[-1]
            kind = FewRows if few else Moments
            self._fitted, self._held_out = kind(), kind()
        if wanted.others is not None:
            addition = self._additions[at]
            lacking = addition.lacking(tensors, wanted.others, wanted.positions, self._keep)
            outputs = outputs + lacking
        outputs = outputs.reshape(len(outputs), inputs.shape[1], -1)
        held_out = (self._seen + np.arange(len(x))) % HELD_OUT == HELD_OUT - 1
        self._seen += len(x)
        held_out = np.repeat(held_out, wanted.positions.shape[1])
        for moments, which in (self._fitted, ~held_out), (self._held_out, held_out):
            if which.any():
                moments.add(inputs[which], outputs[which])

    def _wanted(self, at: int, steps: int, originals: Any) -> Wanted:
        """Computes what the original's layer gives for one batch of samples."""
        x, _ = self._input(at, originals)
        shape = self.framework.output_shape(self.original.layer, x.shape)
        sizes = self.original.outputs(shape)
        positions = chosen(self._random, len(x), sizes, self._samples(steps), self._rows)
        outputs, others = self._outputs(x, sizes, positions), None
        if at in self._additions:
            others = self._additions[at].others_of(originals, shape, positions)
        unlike = self._fitted is None and self._differs(x, outputs, positions)
        return Wanted(sizes, positions, outputs.astype(np.float32), others, unlike)

    def _samples(self, steps: int) -> int:
        """Returns how many feature maps the layer meets in all, of so many time steps."""
        return self.lockstep.samples * steps * len(self.calls)

    def _input(self, at: int, tensors: Any) -> tuple[np.ndarray, int]:
        """Returns what a call is made with; a layer that is repeated in time meets every step."""
        step = self.lockstep.steps[at]
        x = np.asarray(tensors[step.inputs[0]])
        if x.dtype.itemsize < 4 or x.dtype.kind != "f":
            x = x.astype(np.float32)
        return (x.reshape(-1, *x.shape[2:]), x.shape[1]) if step.repeated else (x, 1)

    def _outputs(self, x: np.ndarray, sizes: Any, positions: np.ndarray) -> np.ndarray:
        """Computes the original's outputs, before the activation."""
        rows = self.original.rows(x, sizes, positions)
        if len(self._target) == 1:
            outputs = rows[:, 0] @ self._target[0]
        else:
            outputs = np.einsum("rgd,gdo->rgo", rows, self._target, optimize=True)
            outputs = outputs.reshape(len(rows), -1)
        if self.original.bias is not None:
            outputs = outputs + self.framework.read(self.original.bias)
        return outputs

    def _differs(self, x: np.ndarray, outputs: np.ndarray, positions: np.ndarray) -> bool:
        """Tells whether the original layer computes something else than its kernel says.

        Raises:
            FloatingPointError: If samples make values that are not finite.
        """
        if not np.isfinite(outputs).all():
            raise FloatingPointError(self.name)
        layer, x, positions = self.original.layer, x[:COMPARED], positions[:COMPARED]
        outputs = outputs[: positions.size]
        actual = self.framework.before_activation(layer, x).astype(np.float64)
        actual = at_positions(actual, positions, channel_axis(layer))
        if not np.isfinite(actual).all():
            raise FloatingPointError(self.name)
        difference = np.square(outputs - actual).mean()
        return not difference <= UNLIKE**2 * np.square(actual).mean()

    def solve(self) -> LayerLoss:
        """Gives the layer the weights of least error, and returns what that changed.

        Raises:
            FloatingPointError: If samples make values that are not finite.
        """
        if self._unlike:
            return LayerLoss(self.name, reason="computes something else than its kernel says")
        with threads_for(self.kernel.inputs()):
            return self._solve()

    def _solve(self) -> LayerLoss:
        kernel, intercept = self.kernel, self._intercept()
        moments = self._fitted + self._held_out
        system = moments.system(intercept is not None)
        old = self.framework.read(kernel.variable).astype(np.float64)
        mask = np.broadcast_to(1.0 if self._mask is None else self._mask, old.shape)
        weights = kernel.matrix(old * mask)
        active = np.abs(weights).max(-1) > 0
        energy, error = system.energy.sum(), system.error(weights).sum()
        if intercept is not None:
            error += np.square(system.intercept(weights).reshape(-1) - intercept).sum()
        if not np.isfinite(energy + error):
            raise FloatingPointError(self.name)
        if error <= ALIKE * energy or not energy:
            return LayerLoss(self.name, 0.0, 0.0)
        weights = system.solve(weights, self._ridge(weights, active, intercept), active)
        self.framework.write(kernel.variable, np.where(mask == 0, old, kernel.kernel(weights)))
        if kernel.bias is not None:
            self.framework.write(kernel.bias, system.intercept(weights).reshape(-1))
        elif self._normalization is not None:
            intercept = system.intercept(weights).reshape(-1)
            self._normalization.assign(
                intercept,
                self._keep,
                mean=system.output_means.reshape(-1) - intercept,
                variance=system.variance(weights).reshape(-1),
            )
        return LayerLoss(
            self.name, float(error / energy), float(system.error(weights).sum() / energy)
        )

    def _ridge(
        self, weights: np.ndarray, active: np.ndarray, intercept: np.ndarray | None
    ) -> float:
        """Returns the pull to the old weights that does best on samples that were held out."""
        if self._fixed_ridge is not None:
            return self._fixed_ridge
        if not self._held_out.rows or not self._fitted.rows:
            return CAREFUL
        fitted, held_out = (
            part.system(intercept is not None) for part in (self._fitted, self._held_out)
        )
        return choose_ridge(fitted, held_out, weights, active)

    def _intercept(self) -> np.ndarray | None:
        """Returns what is added to the layer's outputs now; None if nothing can be."""
        if self.kernel.bias is not None:
            return self.framework.read(self.kernel.bias).reshape(-1)
        if self._normalization is not None:
            return self._normalization.intercept(self._keep)
        return None
