"""The samples that networks are shown: gathered once, and looked at before anything changes."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_spp.frameworks.data import chunks, count, require_finite, require_fit
from keras_spp.frameworks.interface import Adapter, Model

CHUNK = 32  # samples that pass through a network together
FEWEST = 16
HELD_BACK = 8  # every so many-th sample says how much two networks agree


def gathered(framework: Adapter, model: Model, representative_data: Any, samples: int) -> list[Any]:
    """Returns samples in batches, as the model takes them.

    Args:
        framework: The adapter of the model.
        model: The model.
        representative_data: As `spp.compensate` takes it.
        samples: How many at most.

    Raises:
        TypeError: If it is no data.
        ValueError: If there are fewer than 16 samples, or they are not finite or all alike.
    """
    fixed = model.inputs[0].shape[0]
    size = fixed or min(CHUNK, samples)
    whole = fixed is not None
    batches: list[Any] = []
    found = 0
    # Not so many chunks: they do not reach over two of the user's batches, so some are smaller.
    for chunk in chunks(representative_data, size, samples, whole, again=False):
        batches.append(chunk)
        found += count([chunk])
        if found >= samples:
            break
    if fixed is None and (more := found - samples) > 0:
        last = batches.pop()
        batches.append(framework.map_structure(lambda x: x[: len(x) - more], last))
        found = samples
    if found < FEWEST:
        raise ValueError(
            f"`representative_data` must hold at least {FEWEST} samples, better some hundred, but "
            f"gives {found}."
        )
    inputs = [framework.flatten(batch) for batch in batches]
    require_fit(framework.input_sizes(model, None), inputs[0])
    for batch in batches:
        require_finite(batch)
    first = [np.asarray(x)[:1] for x in inputs[0]]
    if all(
        (np.asarray(x) == one).all()
        for batch in inputs
        for x, one in zip(batch, first, strict=True)
    ):
        raise ValueError(
            "`representative_data` holds the same sample again and again: give samples that differ."
        )
    return batches


def parted(batches: list[Any], every: int) -> tuple[list[Any], list[Any]]:
    """Returns all but every so many-th batch, and these.

    Example:
        >>> parted(list("abcdefg"), 3)
        (['a', 'b', 'd', 'e', 'g'], ['c', 'f'])
    """
    last = every - 1
    return [batch for at, batch in enumerate(batches) if at % every != last], batches[last::every]


def split(framework: Adapter, model: Model, batches: list[Any]) -> tuple[list[Any], list[Any]]:
    """Holds back an eighth of the samples.

    Args:
        framework: The adapter of the model.
        model: The model; if its batch size is fixed, whole batches are held back, of some.
        batches: The samples.

    Returns:
        The samples to use, and those held back: none if the others were too few then.
    """
    if model.inputs[0].shape[0] is not None:
        used, rest = parted(batches, HELD_BACK)
        return (used, rest) if count(used) >= FEWEST else (batches, [])

    def taken(batch: Any, held_back: bool) -> Any:
        last = HELD_BACK - 1
        return framework.map_structure(
            lambda x: np.asarray(x)[(np.arange(len(x)) % HELD_BACK == last) == held_back], batch
        )

    parts = [[taken(batch, held_back) for batch in batches] for held_back in (False, True)]
    used, rest = ([part for part in side if len(framework.flatten(part)[0])] for side in parts)
    return (used, rest) if count(used) >= FEWEST else (batches, [])
