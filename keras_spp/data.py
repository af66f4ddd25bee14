"""What users give as data, as batches of model inputs."""

from __future__ import annotations

import contextlib
import itertools
import operator
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from keras_spp.causes import layer_cause

BATCH = 32


def batches(
    data: Any,
    most: int | None = None,
    argument: str = "representative_data",
    targets: bool | None = False,
) -> Iterator:
    """Batches of inputs.

    Args:
        data: A `tf.data.Dataset` or another iterable of batches, each of them inputs or, as for
            `fit`, (inputs, targets) or (inputs, targets, weights); or one array of samples.
        most: Stop after so many batches.
        argument: The name of the argument, for messages.
        targets: Whether to yield (inputs, targets), or the weights too, as they come; None for
            whatever comes.

    Yields:
        Inputs, as the model takes them.

    Raises:
        TypeError: If there is no data, or it is no such thing.
        ValueError: If it is empty.

    Example:
        >>> [batch.shape for batch in batches(np.zeros((40, 3)))]
        [(32, 3), (8, 3)]
    """
    if isinstance(data, np.ndarray | tf.Tensor):
        data = [data[start : start + BATCH] for start in range(0, len(data), BATCH)]
    if not isinstance(data, Iterable) or isinstance(data, str | bytes | dict):
        raise TypeError(
            f"`{argument}` must be a tf.data.Dataset of batches, another iterable of batches or an "
            f"array of samples but is {data!r}."
        )
    empty = True
    for batch in itertools.islice(data, most):
        empty = False
        if targets and not (isinstance(batch, tuple) and len(batch) > 1):
            raise ValueError(f"`{argument}` must yield (inputs, targets) but yields no targets.")
        yield batch[0] if isinstance(batch, tuple) and targets is False else batch
    if empty:
        raise ValueError(f"`{argument}` must hold at least one batch but is empty.")


def chunks(data: Any, size: int, count: int, whole: bool, again: bool = True) -> Iterator[Any]:
    """So many samples at a time, from the beginning again when the data end.

    Args:
        data: As for `batches`.
        size: Samples in each chunk, at most; chunks never reach over two batches.
        count: Number of chunks.
        whole: Whether to leave out chunks that are smaller.
        again: Whether to begin again; otherwise there may be fewer chunks.

    Raises:
        ValueError: If there is not one chunk.
    """
    if again and isinstance(data, Iterator):  # it begins only once
        data = list(itertools.islice(data, count))
    while count:
        before = count
        for batch in batches(data):
            samples = len(tf.nest.flatten(batch)[0])
            for start in range(0, samples - size + 1 if whole else samples, size)[:count]:
                yield tf.nest.map_structure(operator.itemgetter(slice(start, start + size)), batch)
                count -= 1
            if not count:
                return
        if count == before:
            raise ValueError(
                f"`representative_data` must hold batches of at least {size if whole else 1} "
                f"samples, as the model takes them, but holds none."
            )
        if not again:
            return


@contextlib.contextmanager
def fitting(size: int, allocation: str) -> Iterator[None]:
    """Calls a model with samples, `size` at a time, for an allocation of that name.

    Raises:
        ValueError: If the model does not take them.
    """
    try:
        yield
    except (ValueError, tf.errors.InvalidArgumentError) as error:
        raise ValueError(
            f"`representative_data` must hold what the model takes, {size} samples at a time, but "
            f"it fails on that ({layer_cause(error)}): give other data, or "
            f"allocation=spp.{allocation}(samples=...)."
        ) from error
