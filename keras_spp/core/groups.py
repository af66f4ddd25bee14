"""Groups of weights that are pruned together, and the sets in which groups are ranked."""

from __future__ import annotations

import copy
import math
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_spp.core import arrays
from keras_spp.core.channels import Axis
from keras_spp.core.cost import Cost, MACs
from keras_spp.core.coupling import Coupling
from keras_spp.core.masks import Layout, WeightMask

GRANULARITIES = ("channel", "column")
# How many groups of each set are to be pruned: integers of shape (sets,), in the order of the sets.
Goals = np.ndarray


@dataclass(frozen=True, eq=False)
class GroupSet:
    """Groups that are ranked together.

    Attributes:
        name: Layer that makes the channels (channel) or whose kernel it is (column); numbered
            where one layer makes several sets.
        layers: Names of all layers that make these channels, or of the one with the kernel.
        size: Number of groups.
        classes: For channel groups the class of each, shape (size,); empty for columns.
        seed: Decides the masks.
        width: Channels that the layer makes for each group; more than one where they are tied,
            as in a grouped convolution.
    """

    name: str
    layers: list[str]
    size: int
    classes: np.ndarray
    seed: int = 0
    width: int = 1

    def step(self, round_to: int) -> int:
        """Returns how many groups have channels that are a multiple of `round_to`."""
        return round_to // math.gcd(round_to, self.width)

    def config(self, goal: int) -> dict[str, Any]:
        """Returns what a wrapper's config stores; `goal` is the number of groups to prune."""
        return {"name": self.name, "size": self.size, "goal": int(goal), "seed": self.seed}


@dataclass(frozen=True, eq=False)
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
        """Yields each set with its part of the values of all groups that the layer reads."""
        cuts = np.cumsum([entry.size for entry in self.sets])[:-1]
        return zip(self.sets, np.split(values, cuts), strict=True)

    def joined(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """Joins the values of each set's groups, by its name, to those of all that it reads."""
        return np.concatenate([values[entry.name] for entry in self.sets])


class Groups:
    """All sets of a model and the layers that read them.

    Args:
        coupling: The model's channels.
        granularity: "channel" or "column".
        seed: Decides, with the set's name, the masks of each set.
        cost: What `cost` and `dense` tell; None for the MACs of the whole model.
        scores: Says of these groups by which scores they will go, (size,) by the set's name; None
            where that is not known.

    Attributes:
        scores: Those scores, or None.
    """

    def __init__(
        self,
        coupling: Coupling,
        granularity: str,
        seed: int = 0,
        cost: Cost | None = None,
        scores: Callable[[Groups], Mapping[str, np.ndarray]] | None = None,
    ) -> None:
        self.coupling = coupling
        self.granularity = granularity
        self.readers: list[Reader] = []
        self.sets: list[GroupSet] = []
        self._seed = seed
        self._named: Counter[str] = Counter()
        self._cost = cost or MACs(coupling)
        if granularity == "channel":
            self._add_channel_sets()
            self._add_channel_readers()
        else:
            self._add_columns()
        self.scores = None if scores is None else scores(self)

    def priced(self, cost: Cost) -> Groups:
        """Returns the same groups at another cost."""
        groups = copy.copy(self)
        groups._cost = cost
        return groups

    def dense(self) -> float:
        """Returns the cost of the model as it is, to compare `cost` with."""
        return self._cost.left()

    def cost(self, goals: Goals) -> float:
        """Returns the cost of what these goals would leave.

        Producers that columns free are foreseen only where `scores` tell which columns will go.
        """
        if self.granularity == "channel":
            return self._cost.left(self.dead(goals))
        alive = self.alive(self.kept(goals, self.scores))
        dead = None if self.scores is None else self.coupling.dead(alive)
        return self._cost.left(dead, alive)

    def dead(self, goals: Goals) -> np.ndarray:
        """Returns which classes of channels these goals could take, shape (classes,), booleans.

        Those of a set cost the same, so it does not matter which they are.
        """
        dead = np.zeros(self.coupling.count, bool)
        for entry, goal in zip(self.sets, goals, strict=True):
            dead[entry.classes[:goal]] = True
        return dead

    def kept(
        self, goals: Goals, scores: Mapping[str, np.ndarray] | None = None
    ) -> dict[str, np.ndarray]:
        """Returns which groups these goals leave if the least of the scores go, by the set's name.

        Args:
            goals: The goals.
            scores: By the set's name, shape (size,); None for the first groups to go.
        """
        kept = {}
        for entry, goal in zip(self.sets, goals, strict=True):
            kept[entry.name] = np.ones(entry.size, bool)
            order = np.arange(entry.size)
            if scores is not None:
                order = scores[entry.name].argsort(kind="stable")
            kept[entry.name][order[:goal]] = False
        return kept

    def alive(self, kept: Mapping[str, np.ndarray]) -> dict[int, np.ndarray]:
        """Returns where the weights of groups that are kept lie, as `Coupling.dead` takes it.

        Args:
            kept: Which groups stay, booleans of shape (size,) by the name of their set.
        """
        alive = {}
        for reader in self.readers:
            values = reader.joined(kept)
            for mask in reader.weights:
                alive[id(mask.variable)] = mask.layout.spread(arrays, values)
        return alive

    def _add_set(self, name: str, layers: list[str], size: int, **of_set: Any) -> GroupSet:
        """Adds a set under a name of its own."""
        self._named[name] += 1
        if (number := self._named[name]) > 1:
            name = f"{name}#{number}"
        seed = zlib.crc32(f"{self._seed}/{name}".encode()) & 0x7FFFFFFF
        self.sets.append(GroupSet(name, layers, size, seed=seed, **of_set))
        return self.sets[-1]

    def _add_channel_sets(self) -> None:
        """Makes sets of the prunable classes that occur in exactly the same axes, equally often.

        They cost the same and touch the same layers, so ranking them against each other and
        rounding their number is meaningful; a residual stream that widens along the way (option-A
        shortcuts) falls into one set per width.
        """
        signature: dict[int, list[tuple[int, int]]] = defaultdict(list)
        makers: dict[int, list[tuple[str, int]]] = defaultdict(list)
        for number, axis in enumerate(self.coupling.channels.axes.values()):
            classes, times = np.unique(self.coupling.of(axis), return_counts=True)
            for index, count in zip(classes.tolist(), times.tolist(), strict=True):
                if self.coupling.prunable[index]:
                    signature[index].append((number, count))
                    if axis.role == "writes":
                        makers[index].append((axis.layer.name, count))
        members: dict[tuple, list[int]] = defaultdict(list)
        for index in sorted(signature):
            members[tuple(signature[index])].append(index)
        for indices in members.values():
            made = makers[indices[0]] or [("padding", 1)]
            layers, width = [name for name, _ in made], made[0][1]
            self._add_set(layers[0], layers, len(indices), classes=np.array(indices), width=width)

    def _add_channel_readers(self) -> None:
        place_of = {int(c): (entry, i) for entry in self.sets for i, c in enumerate(entry.classes)}
        for axes in _by_layer(self.coupling.reads):
            masks = []
            for axis in axes:
                shape = [1] * len(axis.variable.shape)
                shape[axis.axis] = len(axis.labels)
                places = [place_of.get(int(c)) for c in self.coupling.of(axis)]
                masks.append((axis, shape, places))
            self._add_reader(masks)

    def _add_columns(self) -> None:
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
                entry = self._add_set(name, [name], size, classes=np.empty(0, int))
                masks.append((axis, shape, [(entry, i) for i in range(size)]))
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


def _by_layer(axes: list[Axis]) -> list[list[Axis]]:
    """Puts axes of one layer together, in the order of the first."""
    by_layer: dict[int, list[Axis]] = defaultdict(list)
    for axis in axes:
        by_layer[id(axis.layer)].append(axis)
    return list(by_layer.values())


def _written_axis(coupling: Coupling, axis: Axis) -> int | None:
    """Returns the axis of a kernel that makes channels; None if it makes none."""
    for number in range(len(axis.variable.shape)):
        other = coupling.channels.axes.get((id(axis.variable), number))
        if other is not None and other.role == "writes":
            return number
    return None
