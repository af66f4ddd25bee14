"""What allocations that know the price of each step have in common."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np

from keras_spp.core.groups import Groups, GroupSet
from keras_spp.frameworks.interface import Adapter

# What a step costs is divided by the share of its set that is left before it, to this power: what
# a layer does to the outputs does not say what fine-tuning needs of it. Chosen by accuracy after
# training.
SCARCITY = 0.5


class Stepwise:
    """Takes, step by step over all sets, what saves most MACs for the loss it costs."""

    def __init__(self) -> None:
        self._steps: list[tuple[GroupSet, float, float]] = []  # set, share of it, MACs saved

    def sort(self, groups: Groups, rises: Mapping[str, np.ndarray]) -> None:
        """Sorts what pruning each set step by step saves and costs.

        Args:
            groups: The sets.
            rises: For each set's name the rise of the loss when 1 / n, 2 / n, ..., n / n of it is
                pruned, shape (n,).
        """
        steps = []
        for entry in groups.sets:
            points = len(rises[entry.name])
            rise = rises[entry.name] / (1 - np.arange(points) / points) ** SCARCITY
            for share, macs, cost in _hull(_saved(groups, entry, points), rise):
                steps.append((cost / macs if macs else np.inf, entry, share, macs))
        steps.sort(key=lambda step: step[0])  # stable: a set's steps stay in order
        self._steps = [step[1:] for step in steps]

    def ratios(self, sets: list[GroupSet], strength: float) -> list[float]:
        """Takes steps until a share `strength` of all MACs that they save is saved."""
        left = strength * sum(macs for *_, macs in self._steps)
        ratios = {id(entry): 0.0 for entry in sets}
        for entry, share, macs in self._steps:
            ratios[id(entry)] += share * (min(1.0, left / macs) if macs else float(strength >= 1))
            left = max(0.0, left - macs)
        return [min(ratios[id(entry)], 1.0) for entry in sets]


def importance(groups: Groups, framework: Adapter) -> dict[str, np.ndarray]:
    """Returns the L1 norms of each set's groups, relative to their mean in each layer, summed.

    Args:
        groups: The sets.
        framework: That of the model.

    Returns:
        By the set's name, shape (size,).
    """
    sums = {entry.name: np.zeros(entry.size) for entry in groups.sets}
    for reader in groups.readers:
        relative = framework.norms(reader)
        relative = relative / (relative.mean() or 1)
        for entry, part in reader.split(relative):
            sums[entry.name] += part
    return sums


def _saved(groups: Groups, entry: GroupSet, points: int) -> np.ndarray:
    """Returns the cost that goes when only this set is pruned, to each ratio, shape (points,).

    Groups, in a model of which no MACs are counted.
    """
    dense, saved = groups.dense(), []
    if not dense:
        return entry.size * np.arange(1, points + 1) / points
    alone = np.array([other is entry for other in groups.sets])
    for share in np.arange(1, points + 1) / points:
        saved.append(dense - groups.cost(alone * round(share * entry.size)))
    return np.array(saved, float)


def _hull(saved: np.ndarray, rises: np.ndarray) -> list[tuple[float, float, float]]:
    """Steps along the lower convex hull of loss over MACs saved: (share of the set, MACs, loss).

    On the hull each step costs more for a MAC than the one before, so steps of all sets can be
    taken in the order of their price. (Noise can make a loss fall where more is pruned.)
    """
    shares = np.arange(len(saved) + 1) / len(saved)
    saved = np.concatenate([[0], saved])
    rises = np.maximum.accumulate(np.concatenate([[0], rises]))
    corners = [0]
    for n in range(1, len(saved)):
        while len(corners) > 1:
            a, b = corners[-2:]
            if (rises[b] - rises[a]) * (saved[n] - saved[b]) < (rises[n] - rises[b]) * (
                saved[b] - saved[a]
            ):
                break
            corners.pop()
        corners.append(n)
    return [
        (shares[b] - shares[a], saved[b] - saved[a], rises[b] - rises[a])
        for a, b in itertools.pairwise(corners)
    ]
