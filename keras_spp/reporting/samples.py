"""Samples of users in two parts: one makes small models, the other judges them."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_spp import frameworks
from keras_spp.export.samples import arrays
from keras_spp.frameworks.interface import Model

JUDGED = 4  # every so many-th sample judges what the others made


def open_sizes(model: Model) -> list[tuple[int, ...]]:
    """Returns the sizes of each input without the batch, -1 for those that a model leaves open."""
    return [tuple(-1 if n is None else n for n in x.shape[1:]) for x in model.inputs]


def split(
    model: Model, data: Any, samples: int, test_data: Any = None
) -> tuple[list[Any], list[Any]]:
    """Parts samples.

    Args:
        model: The model that takes them.
        data: As for `spp.parity`.
        samples: How many to make models from, at most.
        test_data: Samples that judge, likewise; None: every fourth of `data`.

    Returns:
        Batches of inputs to make models from; and batches that judge, with their labels if there
        are any.

    Raises:
        TypeError: If there is no data, or it has another form.
        ValueError: If it does not fit the model, or is too little to be parted.
    """
    used: list[list[np.ndarray]] = []
    judged: list[Any] = []
    seen = found = 0
    for inputs, targets in arrays(model, data, open_sizes(model), "data"):
        places = seen + np.arange(len(inputs[0]))
        held = places % JUDGED == JUDGED - 1 if test_data is None else places < 0
        seen += len(places)
        kept = np.flatnonzero(~held)[: samples - found]
        found += len(kept)
        if len(kept):
            used.append([array[kept] for array in inputs])
        if held.any():
            of_batch = [array[held] for array in inputs]
            judged.append(of_batch if targets is None else (of_batch, _at(model, targets, held)))
        if found >= samples:
            break
    if test_data is not None:
        return _batches(model, used), _listed(model, test_data)
    if not judged:
        raise ValueError(
            f"`data` must hold at least {JUDGED} samples, better some hundred, but holds {seen}."
        )
    return _batches(model, used), judged


def _batches(model: Model, used: list[list[np.ndarray]]) -> list[Any]:
    """Returns inputs as a model takes them; in one batch if it takes only batches of one size."""
    if model.inputs[0].shape[0] is not None:
        used = [[np.concatenate(parts) for parts in zip(*used, strict=True)]]
    return [inputs[0] if len(inputs) == 1 else inputs for inputs in used]


def _listed(model: Model, data: Any) -> list[Any]:
    """Returns all batches: they are gone through for each model."""
    return [
        inputs if targets is None else (inputs, targets)
        for inputs, targets in arrays(model, data, open_sizes(model), "test_data")
    ]


def _at(model: Model, targets: Any, places: np.ndarray) -> Any:
    """Returns the targets of some of a batch's samples."""
    if len(model.outputs) == 1 and isinstance(targets, list | tuple):
        targets = np.asarray(targets)
    return frameworks.of(model).map_structure(lambda x: np.asarray(x)[places], targets)
