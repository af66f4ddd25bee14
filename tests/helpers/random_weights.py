"""Random weights, statistics and masks for either Keras, far from what fresh layers start with."""

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

import keras_spp as spp
from keras_spp.export.options import IO_TYPES


def randomize(model: Any, seed: int = 0) -> Any:
    """Random weights that keep the signal alive, with normalisation far from the identity."""
    assign(model.weights, seed)
    return model


def assign(variables: Iterable[Any], seed: int = 0, gain: float = 2.0) -> None:
    """The same for a list of variables; a `gain` above He's makes up for what pruning takes."""
    random = np.random.default_rng(seed)
    for variable in variables:
        name, shape = getattr(variable, "path", variable.name), tuple(variable.shape)
        if "variance" in name:
            value = random.uniform(0.1, 1.0, shape)
        elif "gamma" in name:
            value = random.uniform(0.7, 1.7, shape)
        elif len(shape) > 1:
            inputs = shape[:-2] if "depthwise" in name else shape[:-1]
            value = random.normal(size=shape) * np.sqrt(gain / np.prod(inputs))
        else:
            value = random.normal(scale=0.3, size=shape)
        variable.assign(value)


def random_probabilities(pruned: Any, seed: int = 0, settled: bool = False) -> spp.Pruner:
    """Gives every set as many pruned groups as its goal, and random p to the others."""
    random = np.random.default_rng(seed)
    pruner = spp.Pruner(pruned)
    p = np.zeros(len(pruner.sets.of_group), np.float32)
    for number, goal in enumerate(pruner.sets.goal):
        members = np.flatnonzero(pruner.sets.of_group == number)
        if not settled:
            p[members] = random.uniform(0, 0.9, len(members)) * random.integers(0, 2, len(members))
        p[random.permutation(members)[:goal]] = 1
    pruner.set_probabilities(p)
    return pruner


def shrunk_at_random(pruned: Any, seed: int = 0) -> Any:
    """What is left when every set has lost as many random groups as its goal."""
    random_probabilities(pruned, seed, settled=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no callback has counted these groups as pruned
        return spp.shrink(pruned)


def ranges(model: Any, quantization: str) -> np.ndarray | None:
    """Random samples for `spp.export_tflite`, where the quantization asks for some."""
    samples = np.random.default_rng(0).normal(size=(4, *model.input_shape[1:]))
    return samples.astype(np.float32) if quantization in IO_TYPES else None
