"""What is known of a training: epochs from Keras, and probabilities from the log of SPPCallback."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_spp.training.event_log import Moment, read_log

# What epochs are logged with beside losses and metrics.
_PROGRESS = ("macs_speedup", "groups_decided", "learning_rate", "lr")


@dataclass(frozen=True)
class History:
    """A training.

    Attributes:
        epochs: What Keras noted at the end of each epoch, by name.
        moments: What `spp.SPPCallback` has logged, step by step.
    """

    epochs: dict[str, list[float]]
    moments: list[Moment]

    @property
    def metric(self) -> str | None:
        """The first metric, or else the loss; None if neither is known."""
        names = [
            name
            for name in self.epochs
            if name not in _PROGRESS and not name.startswith("val_") and not name.endswith("loss")
        ]
        return next(iter(names), "loss" if "loss" in self.epochs else None)

    def curve(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Returns the numbers with a name and the epochs, from 1, or the steps that they are of."""
        logged = [(m.step, m.scalars[name]) for m in self.moments if name in m.scalars]
        if logged:
            steps, numbers = zip(*logged, strict=True)
            return np.array(steps), np.array(numbers)
        values = np.array(self.epochs.get(name, []), dtype=float)
        return np.arange(1, len(values) + 1), values


def read(history: Any) -> History | None:
    """Returns what is known of a training.

    Args:
        history: What `fit` returned, or its dict; the `log_dir` of `spp.SPPCallback`; several of
            these in a list, in the order of the trainings; or None.

    Raises:
        TypeError: If it is something else.
        ValueError: If a folder holds no such log.
        OSError: If there is no such folder.
    """
    if history is None:
        return None
    result = History({}, [])
    parts = history if isinstance(history, list | tuple) else [history]
    for part in parts:
        if isinstance(part, str | os.PathLike):
            result.moments.extend(_logged(os.fspath(part)))
            continue
        curves = getattr(part, "history", part)
        if not isinstance(curves, Mapping):
            raise TypeError(
                f"`history` must be what fit returned or the log_dir of spp.SPPCallback, or a list "
                f"of them, but holds {type(part).__name__}."
            )
        _append(result.epochs, curves)
    return result if result.epochs or result.moments else None


def _logged(folder: str) -> list[Moment]:
    try:
        return read_log(folder)
    except (OSError, ValueError, ImportError) as error:
        raise type(error)(f"`history`: {error}") from error


def _append(epochs: dict[str, list[float]], curves: Mapping[str, Sequence[Any]]) -> None:
    """Adds the epochs of a training; what it did not note is not a number there."""
    before = max(map(len, epochs.values()), default=0)
    for name, values in curves.items():
        if all(np.ndim(value) == 0 for value in values):
            known = epochs.setdefault(str(name), [])
            known.extend([np.nan] * (before - len(known)))
            known.extend(map(float, values))
