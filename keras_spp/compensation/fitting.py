"""All weights of a small network, fitted together so that its outputs are the original's.

Layer by layer each was solved for by itself; what their errors add up to at the end only the end
tells. Matching logits by their squared differences is distillation at a high temperature (Hinton,
Vinyals and Dean, "Distilling the knowledge in a neural network", 2015, section 2.1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from keras_spp.frameworks.interface import Adapter, Model
from keras_spp.util import progress
from keras_spp.util.messages import first_line

BATCH = 32
# Of Adam, each falling to 0 along a cosine; the next one is tried where one does not help. What
# CIFAR's ResNets take makes networks from ImageNet worse.
RATES = 1e-3, 2.5e-4, 6e-5
GIVEN_UP = 2.0  # times what was lost before: from more no rate has come back
_MOST = 2**31  # bytes that the original's outputs take: with more only some samples are used

Arrays = list[np.ndarray]


def fit(
    framework: Adapter,
    model: Model,
    original: Model,
    samples: tuple[list[Any], list[Any]],
    epochs: int,
    seed: int,
) -> str | None:
    """Fits the weights that can be trained by gradients, without labels, everything in inference.

    What is 0 in a kernel stays 0, as pruned columns are.

    Args:
        framework: The adapter of the models.
        model: The small model, which changes.
        original: The opened original.
        samples: Batches to fit to, and batches held back, which tell whether it helped.
        epochs: How often each sample is seen.
        seed: Decides in which order.

    Returns:
        Why the model is as it was; None if it is better.
    """
    used, held_back = (list(_limited(framework, model, original, batches)) for batches in samples)
    if (missing := _missing(used, held_back)) is not None:
        return missing
    scales = _scales(used)
    before = [(variable, framework.read(variable)) for variable in model.variables]
    trained = {id(variable): variable for variable in model.trainable_variables}
    lost = _losses(framework, model, held_back, scales)
    most = lost()
    reason: str | None = "that did not help"
    try:
        fitted = _fitting(framework, model, used, scales, list(trained.values()), epochs, seed)
        with progress.work("fit", 1.0, 0) as fitting:
            left = 1.0  # of the work: a rate that is given up leaves the rest to the next
            for rate in RATES:
                share, losses = left / epochs, [most]
                for now in _until_given_up(fitted(rate), lost, GIVEN_UP * most):
                    losses.append(now)
                    fitting.advance(share)
                    left -= share
                if losses[-1] < most:
                    reason = None
                    break
                _restore(framework, before)
    except Exception as error:  # whatever has no derivative, in a layer of the user's, too
        reason = f"no derivatives ({first_line(error)})"
    _restore(framework, before if reason else [x for x in before if id(x[0]) not in trained])
    return reason


def _until_given_up(
    epochs: Iterator[None], lost: Callable[[], float], most: float
) -> Iterator[float]:
    """Yields what is lost after each epoch, until that is not less than it may be."""
    for _ in epochs:
        yield (now := lost())
        if not now < most:
            return


def _restore(framework: Adapter, values: list[tuple[Any, np.ndarray]]) -> None:
    for variable, value in values:
        framework.write(variable, value)


def _missing(used: list[_Batch], held_back: list[_Batch]) -> str | None:
    """Returns what there is nothing of; None: there is something to fit to."""
    if not used:
        return f"what the original gives for one batch takes more than {_MOST / 2**30:.3g} GiB"
    if not held_back:
        return "no samples are left to tell whether that helps"
    return None if used[0].wanted else "no output is of floats"


class _Batch(NamedTuple):
    """Samples, and what the original gives for them.

    Attributes:
        inputs: One array for each input.
        wanted: The logits, one array for each output of floats.
    """

    inputs: Arrays
    wanted: Arrays


def _limited(
    framework: Adapter, model: Model, original: Model, batches: list[Any]
) -> Iterator[_Batch]:
    """Yields batches until what the original gives takes too much memory."""
    types, infer = framework.input_types(model), framework.inference(original)
    logits, taken = framework.logits_of(original), 0
    for batch in batches:
        pairs = zip(framework.flatten(batch), types, strict=True)
        inputs = [np.asarray(x).astype(dtype, copy=False) for x, dtype in pairs]
        wanted = [np.asarray(x, np.float32) for x in logits(infer(inputs))]
        taken += sum(x.nbytes for x in wanted)
        if taken > _MOST:
            return
        yield _Batch(inputs, wanted)


def _scales(batches: list[_Batch]) -> list[float]:
    """Returns the variance of each output; an output that does not vary counts nothing."""
    columns = zip(*(batch.wanted for batch in batches), strict=True)
    variances = [float(np.var(np.concatenate([x.ravel() for x in column]))) for column in columns]
    return [variance if variance > 0 else np.inf for variance in variances]


def _losses(
    framework: Adapter, model: Model, batches: list[_Batch], scales: list[float]
) -> Callable[[], float]:
    """Returns what says how far the outputs are off: squared, relative to their variances."""
    infer, logits = framework.inference(model), framework.logits_of(model)

    def lost() -> float:
        total = 0.0
        for batch in batches:
            outputs = logits(infer(batch.inputs))
            for found, wanted, scale in zip(outputs, batch.wanted, scales, strict=True):
                total += float(np.sum((np.asarray(found, np.float64) - wanted) ** 2)) / scale
        return total

    return lost


def _fitting(
    framework: Adapter,
    model: Model,
    batches: list[_Batch],
    scales: list[float],
    variables: list[Any],
    epochs: int,
    seed: int,
) -> Callable[[float], Iterator[None]]:
    """Returns what makes the steps of a rate, from the weights that the model has then."""
    arrays, logits = framework.arrays, framework.logits_of(model)
    count = len(batches[0].inputs)

    def scalar(*tensors: Any) -> Any:
        found = logits(framework.forward(model, tensors[:count]))
        terms = [
            arrays.mean(arrays.square(arrays.cast(x, "float32") - wanted)) / scale
            for x, wanted, scale in zip(found, tensors[count:], scales, strict=True)
        ]
        return sum(terms[1:], terms[0])

    gradients = framework.derivatives(scalar, variables)
    nonzero = [_nonzero(framework.read(variable)) for variable in variables]
    fixed = model.inputs[0].shape[0] is not None
    epoch = _Epoch([[*batch.inputs, *batch.wanted] for batch in batches], fixed)

    def steps(rate: float) -> Iterator[None]:
        optimizer = framework.optimizers.adam(rate, epoch.steps * epochs)
        random = np.random.default_rng(seed)
        for _ in range(epochs):
            for part in epoch.parts(random):
                masked = [g * mask for g, mask in zip(gradients(*part), nonzero, strict=True)]
                values = [arrays.cast(value, value.dtype) for value in masked]
                optimizer.apply_gradients(list(zip(values, variables, strict=True)))
            yield

    return steps


def _nonzero(value: np.ndarray) -> np.ndarray | float:
    return (value != 0).astype(value.dtype) if value.ndim > 1 else 1.0


class _Epoch:
    """Samples in parts that make a step each: all of one size, if their shapes allow that.

    Args:
        batches: The samples, one array for each input and each output.
        fixed: Whether the model takes no other numbers of samples than these.
    """

    def __init__(self, batches: list[Arrays], fixed: bool) -> None:
        self._batches = batches
        self._whole = fixed or len({tuple(x.shape[1:] for x in batch) for batch in batches}) > 1
        self.steps = len(batches)
        if not self._whole:
            self._joined = [np.concatenate(column) for column in zip(*batches, strict=True)]
            count = len(self._joined[0])
            self._size = min(BATCH, count)
            self.steps = count // self._size

    def parts(self, random: np.random.Generator) -> Iterator[Arrays]:
        """Yields them in random order; of samples in one array, a few are left out each time."""
        if self._whole:
            yield from (self._batches[at] for at in random.permutation(len(self._batches)))
            return
        order = random.permutation(len(self._joined[0]))
        for part in np.split(order[: self.steps * self._size], self.steps):
            yield [column[part] for column in self._joined]
