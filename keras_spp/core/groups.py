"""Groups of weights that are pruned together, and the sets in which groups are ranked."""

from __future__ import annotations

import math
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_spp.core import arrays
from keras_spp.core.channels import Axis
from keras_spp.core.cost import Price, model_macs, model_price
from keras_spp.core.coupling import Coupling
from keras_spp.core.masks import Layout, WeightMask

GRANULARITIES = ("channel", "column")


@dataclass(eq=False)
class GroupSet:
    """Groups that are ranked together.

    Attributes:
        name: Layer that makes the channels (channel) or whose kernel it is (column); numbered
            where one layer makes several sets.
        layers: Names of all layers that make these channels, or of the one with the kernel.
        size: Number of groups.
        classes: For channel groups the class of each, shape (size,); empty for columns.
        width: Channels that the layer makes for each group; more than one where they are tied,
            as in a grouped convolution.
        goal: Groups to prune.
    """

    name: str
    layers: list[str]
    size: int
    classes: np.ndarray
    goal: int = 0
    seed: int = 0
    width: int = 1

    def step(self, round_to: int) -> int:
        """Groups whose channels are a multiple of `round_to`."""
        return round_to // math.gcd(round_to, self.width)

    def config(self) -> dict[str, Any]:
        """What a wrapper's config stores."""
        return {"name": self.name, "size": self.size, "goal": self.goal, "seed": self.seed}


@dataclass
class Reader:
    """A layer whose weights will be masked.

    Attributes:
        layer: The layer.
        sets: The sets of groups that it reads.
        weights: The weights, and where the sets' groups lie in each.
    """

    layer: Any
    sets: list[GroupSet]
    weights: list[WeightMask]

    def split(self, values: np.ndarray) -> Iterator[tuple[GroupSet, np.ndarray]]:
        """Each set with its part of the values of all groups that the layer reads."""
        cuts = np.cumsum([entry.size for entry in self.sets])[:-1]
        return zip(self.sets, np.split(values, cuts), strict=True)


class Groups:
    """All sets of a model and the layers that read them.

    Args:
        coupling: The model's channels.
        granularity: "channel" or "column".
        seed: Decides, with the set's name, the masks of each set.
    """

    def __init__(self, coupling: Coupling, granularity: str, seed: int = 0) -> None:
        self.coupling = coupling
        self.granularity = granularity
        # Scores by which groups will go, (size,) by set's name; {} where that is not known.
        self.scores: dict[str, np.ndarray] = {}
        self.price: Price | None = None  # of channels, where something else counts than MACs
        self.readers: list[Reader] = []
        self.sets: list[GroupSet] = []
        if granularity == "channel":
            self.sets = _channel_sets(coupling)
            self._channel_readers()
        else:
            self._column_readers()
        used: Counter[str] = Counter()
        for entry in self.sets:
            used[entry.name] += 1
            if (number := used[entry.name]) > 1:
                entry.name = f"{entry.name}#{number}"
            entry.seed = zlib.crc32(f"{seed}/{entry.name}".encode()) & 0x7FFFFFFF

    def _channel_readers(self) -> None:
        place_of = {int(c): (entry, i) for entry in self.sets for i, c in enumerate(entry.classes)}
        for axes in _by_layer(self.coupling.reads):
            masks = []
            for axis in axes:
                shape = [1] * len(axis.variable.shape)
                shape[axis.axis] = len(axis.labels)
                places = [place_of.get(int(c)) for c in self.coupling.of(axis)]
                masks.append((axis, shape, places))
            self._add_reader(masks)

    def _column_readers(self) -> None:
        refused = self.coupling.channels.refused
        for axes in _by_layer(self.coupling.reads):
            masks = []
            for axis in axes:
                writes = _written_axis(self.coupling, axis)
                shape = [1 if i == writes else int(n) for i, n in enumerate(axis.variable.shape)]
                size = int(np.prod(shape))
                # The paper prunes convolutions; one of them may have to stay whole.
                if len(shape) < 3 or writes is None or size < 2 or id(axis.layer) in refused:
                    continue
                if axis.path is None:  # nothing can mask it
                    continue
                name = axis.layer.name
                self.sets.append(GroupSet(name, [name], size, np.empty(0, int)))
                masks.append((axis, shape, [(self.sets[-1], i) for i in range(size)]))
            self._add_reader(masks)

    def _add_reader(self, masks: list[tuple[Axis, list[int], list[Any]]]) -> None:
        """Adds a layer: per weight the mask's shape, and of each position (set, number) or None."""
        # Identities, because sets are compared by them; a dict keeps the order of first use.
        sets = list({id(p[0]): p[0] for *_, places in masks for p in places if p}.values())
        if not sets:
            return
        *starts, total = np.cumsum([0, *(entry.size for entry in sets)]).tolist()
        start = {id(entry): first for entry, first in zip(sets, starts, strict=True)}
        weights = []
        for axis, shape, places in masks:
            index = [start[id(p[0])] + p[1] if p else total for p in places]
            assert axis.path is not None, axis.layer.name  # or its channels were frozen
            same = index == list(range(total))
            layout = Layout(shape, None if same else index, total)
            weights.append(WeightMask(axis.variable, axis.path, layout))
        self.readers.append(Reader(masks[0][0].layer, sets, weights))

    def dense(self) -> float:
        """The cost of the model as it is, to compare `cost` with."""
        if self.price is not None:
            return model_price(self.coupling, self.price)
        return model_macs(self.coupling)

    def cost(self) -> float:
        """MACs that the sets' goals would leave, or with a `price` what those cost.

        Producers that columns free are foreseen only where `scores` tell which columns will go.
        """
        if self.granularity == "channel":
            gone = np.zeros(self.coupling.count, bool)
            for entry in self.sets:
                gone[entry.classes[: entry.goal]] = True
            if self.price is not None:
                return model_price(self.coupling, self.price, gone)
            return model_macs(self.coupling, gone)
        alive = {}
        for reader in self.readers:
            kept = np.concatenate([self._kept(entry) for entry in reader.sets])
            for mask in reader.weights:
                alive[id(mask.variable)] = mask.layout.spread(arrays, kept)
        dead = self.coupling.dead(alive) if self.scores else None
        return model_macs(self.coupling, dead, alive)

    def _kept(self, entry: GroupSet) -> np.ndarray:
        scores = self.scores.get(entry.name, np.arange(entry.size))
        return scores.argsort(kind="stable").argsort() >= entry.goal


def _by_layer(axes: list[Axis]) -> list[list[Axis]]:
    """Axes of one layer together, in the order of the first."""
    found: dict[int, list[Axis]] = defaultdict(list)
    for axis in axes:
        found[id(axis.layer)].append(axis)
    return list(found.values())


def _written_axis(coupling: Coupling, axis: Axis) -> int | None:
    """The axis of a kernel that makes channels; None if it makes none."""
    for number in range(len(axis.variable.shape)):
        other = coupling.channels.axes.get((id(axis.variable), number))
        if other is not None and other.role == "writes":
            return number
    return None


def _channel_sets(coupling: Coupling) -> list[GroupSet]:
    """Prunable classes that occur in exactly the same axes, equally often, form a set.

    They cost the same and touch the same layers, so ranking them against each other and
    rounding their number is meaningful; a residual stream that widens along the way (option-A
    shortcuts) falls into one set per width.
    """
    signature: dict[int, list[tuple[int, int]]] = defaultdict(list)
    makers: dict[int, list[tuple[str, int]]] = defaultdict(list)
    for number, axis in enumerate(coupling.channels.axes.values()):
        found, times = np.unique(coupling.of(axis), return_counts=True)
        for index, count in zip(found.tolist(), times.tolist(), strict=True):
            if coupling.prunable[index]:
                signature[index].append((number, count))
                if axis.role == "writes":
                    makers[index].append((axis.layer.name, count))
    members: dict[tuple, list[int]] = defaultdict(list)
    for index in sorted(signature):
        members[tuple(signature[index])].append(index)
    sets = []
    for indices in members.values():
        made = makers[indices[0]] or [("padding", 1)]
        layers, width = [name for name, _ in made], made[0][1]
        sets.append(GroupSet(layers[0], layers, len(indices), np.array(indices), width=width))
    return sets
