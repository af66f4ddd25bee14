"""How far the outputs of two models are from each other, and from labels, sample after sample."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from keras_spp.export.samples import chunks

Call = Callable[[list[np.ndarray]], list[np.ndarray]]


def compared(
    names: Sequence[str],
    batches: Iterable[tuple[list[np.ndarray], Any]],
    first: tuple[Call, int | None],
    second: tuple[Call, int | None],
    samples: int | None = None,
) -> tuple[list[Differences], int]:
    """Runs two models on the same samples.

    Args:
        names: Those of the outputs.
        batches: Inputs, and labels or None, of `data`.
        first: The first model: its function, and how many samples that takes at a time, None for
            any number.
        second: The second one.
        samples: Stop after so many; None for all.

    Returns:
        How the outputs differ, one by one, and how many samples there were.

    Raises:
        ValueError: If there are no samples, or labels do not fit them.
    """
    outputs = [Differences(name) for name in names]
    seen = 0
    for inputs, targets in batches:
        if samples is not None:
            inputs = [array[: samples - seen] for array in inputs]
        count = len(inputs[0])
        if not count:
            continue
        both = [_in_chunks(call, inputs, size) for call, size in (first, second)]
        labels = _by_output(targets, names)
        for output, expected, actual, label in zip(outputs, *both, labels, strict=True):
            output.add(expected, actual, None if label is None else np.asarray(label)[:count])
        seen += count
        if seen == samples:
            break
    if not seen:
        raise ValueError("`data` must hold at least one sample but holds none.")
    return outputs, seen


def _in_chunks(call: Call, inputs: list[np.ndarray], size: int | None) -> list[np.ndarray]:
    """Returns the outputs of a function that takes `size` samples at a time."""
    parts = [[y[:count] for y in call(batch)] for batch, count in chunks(inputs, size)]
    return [np.concatenate(part) for part in zip(*parts, strict=True)]


def _by_output(targets: Any, names: Sequence[str]) -> list[Any]:
    """Returns the targets of each output, None where there are none."""
    if targets is None:
        return [None] * len(names)
    if isinstance(targets, Mapping):
        return [targets.get(name) for name in names]
    listed = list(targets) if isinstance(targets, list | tuple) and len(names) > 1 else [targets]
    if len(listed) != len(names):
        raise ValueError(
            f"`data` must yield labels for each of the outputs {', '.join(names)}, as a list or a "
            f"dict, but yields {len(listed)}."
        )
    return listed


def _classes(labels: np.ndarray | None, outputs: np.ndarray) -> np.ndarray | None:
    """Returns the class at each place, from integers or one-hot vectors; None for other labels."""
    if labels is None or labels.dtype.kind not in "iufb":
        return None
    if len(labels) != len(outputs):
        raise ValueError(
            f"`data` must yield a label for each sample but yields {len(labels)} for "
            f"{len(outputs)}."
        )
    places = outputs.shape[:-1]
    if labels.shape == outputs.shape:
        one_hot = np.isin(labels, (0, 1)).all() and (labels.sum(-1) == 1).all()
        return labels.argmax(-1) if one_hot else None
    if labels.shape in (places, (*places, 1)) and (labels == np.round(labels)).all():
        return labels.reshape(places)
    return None


class Differences:
    """Running sums over the samples of one output, of a first model and a second.

    Top-1 is the place of the largest value along the last axis, per sample and position.

    Attributes:
        name: The output's name.
        most: The largest absolute difference.
        largest: The largest absolute value that the first model gives.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.largest = self.most = self._total = 0.0
        self._squares, self._moments = 0.0, np.zeros(2)  # of the differences; of the first model
        self._values = self._places = self._agreed = self._first_hits = self._second_hits = 0
        self._labelled = True

    def add(self, expected: np.ndarray, actual: np.ndarray, labels: np.ndarray | None) -> None:
        """Adds what both models give for some samples, and their labels, if there are any.

        Raises:
            ValueError: If the outputs differ in shape, or labels are not as many as samples.
        """
        if expected.shape != actual.shape:
            raise ValueError(
                f"`path` must be a file made from the model but gives {actual.shape} where the "
                f"model gives {expected.shape} for the output {self.name!r}."
            )
        difference = np.abs(expected.astype(np.float64) - actual)
        # np.maximum, unlike max(), keeps a NaN.
        self.most = float(np.maximum(self.most, difference.max(initial=0)))
        self.largest = float(np.maximum(self.largest, np.abs(expected).max(initial=0)))
        self._total += float(difference.sum())
        self._squares += float((difference**2).sum())
        wide = expected.astype(np.float64)
        self._moments += wide.sum(), (wide**2).sum()
        self._values += difference.size
        if expected.ndim < 2 or expected.shape[-1] < 2:
            return
        first, second = expected.argmax(-1), actual.argmax(-1)
        self._places += first.size
        self._agreed += int((first == second).sum())
        classes = _classes(labels, expected)
        if classes is None:
            self._labelled = False
        else:
            self._first_hits += int((first == classes).sum())
            self._second_hits += int((second == classes).sum())

    @property
    def mean(self) -> float:
        """The mean absolute difference."""
        return self._total / max(self._values, 1)

    @property
    def lost(self) -> float:
        """The mean squared difference, relative to the variance of what the first model gives."""
        count = max(self._values, 1)
        mean, square = self._moments / count
        variance = square - mean**2
        return self._squares / count / (variance if variance > 0 else 1.0)

    @property
    def agreement(self) -> float | None:
        """The share of places with the same top-1; None for outputs with a single value there."""
        return self._agreed / self._places if self._places else None

    @property
    def first_top1(self) -> float | None:
        """The share of labels that are the first model's top-1; None without labels."""
        return self._first_hits / self._places if self._places and self._labelled else None

    @property
    def second_top1(self) -> float | None:
        """The share of labels that are the second model's top-1; None without labels."""
        return self._second_hits / self._places if self._places and self._labelled else None
