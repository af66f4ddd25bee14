"""`spp.compensate`: what remains gives, as well as it can, what the original gave."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_spp import frameworks
from keras_spp.compensation.kept import Kept
from keras_spp.compensation.kernels import Kernel, kernel_of
from keras_spp.compensation.layer import Loss, Pair
from keras_spp.compensation.samples import gathered
from keras_spp.core.kinds import is_a
from keras_spp.frameworks.interface import Adapter, Model
from keras_spp.rules.channelwise import BATCH_NORMALIZATIONS
from keras_spp.util.checks import check_integer


def compensate(
    model: Model,
    original: Model,
    representative_data: Any,
    samples: int = 1024,
    *,
    seed: int = 0,
    verbose: int = 0,
) -> Model:
    """Solves for the weights that let a pruned network give what the original gave.

    Args:
        model: A small or pruned model.
        original: The model that it was pruned from.
        representative_data: Samples.
        samples: How many.
        seed: Positions.
        verbose: 0 shows nothing, 1 a progress bar.

    Returns:
        The same model, its weights changed in place.
    """
    losses(model, original, representative_data, samples, seed=seed, verbose=verbose)
    return model


def losses(
    model: Model,
    original: Model,
    representative_data: Any,
    samples: int = 1024,
    *,
    seed: int = 0,
    verbose: int = 0,
    residual: bool = True,
) -> list[Loss]:
    """Does what `compensate` does and returns what each layer lost."""
    framework = frameworks.of(model)
    framework.check(original, "original")
    check_integer("samples", samples, 1)
    original = framework.opened(original)
    batches = gathered(framework, model, representative_data, samples)
    lockstep = framework.Lockstep(model, original, batches)
    kept = Kept(model, original)
    masks = framework.keep_probabilities(model)
    random = np.random.default_rng(seed)
    before = [(variable, framework.read(variable)) for variable in model.variables]
    report: list[Loss] = []
    solved: set[int] = set()
    calls = _calls(lockstep)
    bar = framework.progress_bar(len(calls), verbose, "layer")
    try:
        for number, (layer, at) in enumerate(calls.items()):
            kernels = kernel_of(layer), kernel_of(lockstep.original_steps[at[0]].core)
            pair = Pair(
                framework, lockstep, at, kernels,
                keep=_outputs(kernels[0], kept),
                mask=masks.get(id(kernels[0].variable)),
                residual=residual, random=random,
                samples=sum(len(framework.flatten(batch)[0]) for batch in batches),
            )  # fmt: skip
            watches = pair.watches()
            lockstep.advance(at[0], {at[0]: watches.pop(at[0])})
            if watches:
                lockstep.run(max(watches), watches)
            report.append(pair.solve())
            bar.update(number + 1)
    except BaseException:
        for variable, value in before:
            framework.write(variable, value)
        raise
    return report


def _calls(lockstep: Any) -> dict[Any, list[int]]:
    calls: dict[Any, list[int]] = {}
    for at, step in enumerate(lockstep.steps):
        if kernel_of(step.core) is not None:
            calls.setdefault(step.core, []).append(at)
    return calls


def _outputs(kernel: Kernel, kept: Kept) -> np.ndarray | None:
    keep = kept.along(kernel.variable, kernel.written)
    keep = np.repeat(keep, kernel.multiplier)
    return None if keep.all() else keep
