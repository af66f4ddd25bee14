"""Allocation by measurement: what the loss says when one layer is pruned alone."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_spp import frameworks
from keras_spp.allocation.greedy import Stepwise, importance
from keras_spp.core.groups import Groups, GroupSet
from keras_spp.frameworks.data import batches
from keras_spp.frameworks.interface import Model
from keras_spp.util import progress
from keras_spp.util.checks import check_integer, check_number
from keras_spp.util.json_cache import JsonCache


class Sensitivity(Stepwise):
    """Prunes where a MAC saved costs least, by what it costs when one layer is pruned alone.

    Each set of groups is pruned alone to several ratios, the least important groups by L1 norm
    first, and the rise of the loss over a few batches is measured. `spp.prune` then takes, step
    by step over all sets, what saves most MACs for the loss it costs, which counts the more the
    less of a set is left, until its target is met. This takes sets x points passes over the
    batches.

    Args:
        loss: What `compile` takes as `loss`, of `representative_data`'s targets (and of its
            sample weights, if it has some). None: the squared change of the model's outputs
            relative to their variance, which needs no targets.
        batches: Look at no more than so many batches of `representative_data`, at least 1.
        points: Ratios to measure for each set, at least 2: 1 / points, 2 / points, ..., 1.
        cache: File (JSON) that keeps what was measured, set by set, so that another target, or an
            interrupted run, need not measure again; None for none. Entries of other weights, data
            or settings are not used, and stay. Several objects, threads and processes may share it.
        verbose: 0 shows nothing, 1 a progress bar.

    Raises:
        ValueError: If a number is too small, or `cache` is no file of this class.

    Example:
        >>> import numpy as np, tf_keras as keras, keras_spp as spp
        >>> model = keras.Sequential([
        ...     keras.Input((8, 8, 3)), keras.layers.Conv2D(16, 3), keras.layers.Conv2D(16, 3),
        ...     keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(4)])
        >>> images = np.random.default_rng(0).normal(size=(64, 8, 8, 3))
        >>> pruned = spp.prune(model, target_speedup=2, allocation=Sensitivity(verbose=0),
        ...                    representative_data=images, round_to=1)
    """

    def __init__(
        self,
        loss: Any = None,
        batches: int = 4,
        points: int = 8,
        cache: str | os.PathLike[str] | None = None,
        verbose: int = 1,
    ) -> None:
        super().__init__()
        check_integer("batches", batches, 1)
        check_integer("points", points, 2)
        check_integer("verbose", verbose, 0)
        self.loss = loss
        self.batches = batches
        self.points = points
        self.verbose = int(verbose)
        self._file = None if cache is None else JsonCache(cache, "spp.Sensitivity", parse)
        self.cache = None if self._file is None else self._file.path

    def prepare(self, model: Model, groups: Groups, representative_data: Any) -> None:
        """Measures every set."""
        measured = _Measured(self, model, groups, representative_data)
        rises = {}
        with progress.work("sensitivity", len(groups.sets), self.verbose) as measuring:
            for entry in groups.sets:
                rises[entry.name] = np.array(measured.rises(entry))
                measuring.advance()
        self.sort(groups, rises)


class _Measured:
    """Rises of the loss, measured on a copy of the model or read from the cache."""

    def __init__(
        self, settings: Sensitivity, model: Model, groups: Groups, representative_data: Any
    ) -> None:
        self.settings, self.groups = settings, groups
        self.framework = frameworks.of(model)
        with_targets = settings.loss is not None
        self.loss = self.framework.find_losses(settings.loss) if with_targets else None
        self.data = list(batches(representative_data, settings.batches, targets=with_targets))
        self.inputs = [batch[0] for batch in self.data] if with_targets else self.data
        self.probe = self.framework.Probe(model, groups)
        self.compiled_loss = (
            self.framework.compiled_loss(self.probe.model, self.loss) if with_targets else None
        )
        self.importance = importance(groups, self.framework)
        self.dense = self.probe.outputs(self.inputs)
        self.before = self._loss(self.dense)
        if not np.isfinite(self.before):
            raise ValueError(
                f"`representative_data` gives the dense model a loss of {self.before}: data and "
                f"outputs must be finite."
            )
        self.key = self._key(model)
        self.by_set: dict[str, list[float]] = {}
        self._refresh()

    def _key(self, model: Model) -> str:
        """Returns a digest of all that decides what is measured."""
        settings, framework = self.settings, self.framework
        losses = framework.describe_losses(self.loss)
        # What the layers and the loss compute shows in the dense model's outputs and its loss.
        said = (losses, settings.points, self.groups.granularity, self.before)
        digest = hashlib.sha256(repr(said).encode())
        weights = map(framework.read, model.weights)
        for array in [*weights, *framework.flatten([self.data, self.dense])]:
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def _refresh(self) -> None:
        """Takes up what the cache has by now."""
        if self.settings._file is not None:
            self.by_set = {**(self.settings._file.read() or {}).get(self.key, {}), **self.by_set}

    def rises(self, entry: GroupSet) -> list[float]:
        """Returns the rises of the loss at each ratio of one set."""
        if entry.name not in self.by_set:
            self._refresh()  # others may be at work too
        if entry.name not in self.by_set:
            points = np.arange(1, self.settings.points + 1) / self.settings.points
            self.by_set[entry.name] = [self._rise(entry, float(share)) for share in points]
            if self.settings._file is not None:
                self.settings._file.update(self._merged)
        return self.by_set[entry.name]

    def _merged(self, content: dict[str, dict] | None) -> dict[str, dict]:
        """Returns the cache's new content: what is there and what has been measured."""
        content = content or {}
        return {**content, self.key: {**content.get(self.key, {}), **self.by_set}}

    def _rise(self, entry: GroupSet, share: float) -> float:
        gone = self.importance[entry.name].argsort(kind="stable")[: round(share * entry.size)]
        kept = np.ones(entry.size, bool)
        kept[gone] = False
        self.probe.zero({entry.name: kept})
        rise = self._loss(self.probe.outputs(self.inputs)) - self.before
        self.probe.restore()
        # A loss that overflows is as bad as can be, and must stay comparable.
        return rise if np.isfinite(rise) else float(np.finfo(np.float32).max)

    def _loss(self, outputs: list[Any]) -> float:
        """Returns the mean loss of the batches, weighted by their samples."""
        losses, samples = [], []
        for batch, dense, after in zip(self.data, self.dense, outputs, strict=True):
            flat = self.framework.flatten(after)
            if self.compiled_loss is None:
                losses.append(change(self.framework.flatten(dense), flat))
            else:
                losses.append(self.compiled_loss(after, *batch[1:]))
            samples.append(len(flat[0]))
        return float(np.average(losses, weights=samples))


def change(dense: Sequence[Any], outputs: Sequence[Any]) -> float:
    """Returns the squared change of all outputs, each relative to its variance."""
    changes = []
    for before, after in zip(dense, outputs, strict=True):
        before, after = np.asarray(before, np.float64), np.asarray(after, np.float64)
        changes.append(np.mean((after - before) ** 2) / (before.var() or 1))
    return float(np.mean(changes))


def parse(content: Any) -> dict[str, dict[str, list[float]]]:
    """Returns a cache's content; raises whatever it does if that is not of this class."""
    return {
        key: {name: _parse_rises(name, rises) for name, rises in by_set.items()}
        for key, by_set in content.items()
    }


def _parse_rises(name: str, rises: Any) -> list[float]:
    if not isinstance(rises, list) or len(rises) < 2:
        raise ValueError(name)
    for rise in rises:
        check_number(name, rise, -sys.float_info.max, sys.float_info.max, "a rise")
    return [float(rise) for rise in rises]
