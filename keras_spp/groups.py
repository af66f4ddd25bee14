"""Groups of weights that are pruned together, and the sets in which groups are ranked."""

from __future__ import annotations

import zlib
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from keras_spp.channels import Axis, Classes
from keras_spp.cost import model_macs

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
        goal: Groups to prune.
    """

    name: str
    layers: list[str]
    size: int
    classes: np.ndarray
    goal: int = 0
    seed: int = 0

    def config(self) -> dict[str, Any]:
        """What a wrapper's config stores."""
        return {"name": self.name, "size": self.size, "goal": self.goal, "seed": self.seed}


@dataclass
class Reader:
    """A layer whose kernel will be masked: the mask's shape, and the group of each position."""

    layer: Any
    weight: str
    group_shape: list[int]
    sets: list[GroupSet] = field(default_factory=list)
    index: np.ndarray | None = None


def weight_name(layer: Any, variable: Any) -> str | None:
    """Under which attribute a layer holds a variable; None if we could not swap it there."""
    names = [name for name, value in vars(layer).items() if value is variable]
    return names[0] if names else None


class Groups:
    """All sets of a model and the layers that read them.

    Args:
        classes: The model's channels.
        granularity: "channel" or "column".
        seed: Decides, with the set's name, the masks of each set.
    """

    def __init__(self, classes: Classes, granularity: str, seed: int = 0) -> None:
        self.classes = classes
        self.granularity = granularity
        self.readers: list[Reader] = []
        self.sets: list[GroupSet] = []
        if granularity == "channel":
            self.sets = _channel_sets(classes)
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
        set_of = {int(c): (entry, i) for entry in self.sets for i, c in enumerate(entry.classes)}
        for axis in self.classes.reads:
            positions = [set_of.get(int(c)) for c in self.classes.of(axis)]
            # In the order of the model's sets, each once.
            read = {id(found[0]) for found in positions if found}
            sets = [entry for entry in self.sets if id(entry) in read]
            if not sets:
                continue
            start, groups = {}, 0
            for entry in sets:
                start[id(entry)] = groups
                groups += entry.size
            index = np.array(
                [start[id(found[0])] + found[1] if found else groups for found in positions]
            )
            identity = len(index) == groups and (index == np.arange(groups)).all()
            shape = [1] * len(axis.variable.shape)
            shape[axis.axis] = len(index)
            name = weight_name(axis.layer, axis.variable)
            assert name is not None, axis.layer.name
            self.readers.append(Reader(axis.layer, name, shape, sets, None if identity else index))

    def _column_readers(self) -> None:
        for axis in self.classes.reads:
            if len(axis.variable.shape) < 3 or id(axis.layer) in self.classes.channels.refused:
                continue  # the paper prunes convolutions; a policy may refuse one of them
            writes = _written_axis(self.classes, axis)
            shape = [1 if i == writes else int(size) for i, size in enumerate(axis.variable.shape)]
            name = weight_name(axis.layer, axis.variable)
            size = int(np.prod(shape))
            entry = GroupSet(axis.layer.name, [axis.layer.name], size, np.empty(0, int))
            if name is None or size < 2:
                continue
            self.sets.append(entry)
            self.readers.append(Reader(axis.layer, name, shape, [entry]))

    def macs(self) -> int:
        """MACs that the sets' goals would leave; producers that columns free are not foreseen."""
        if self.granularity == "channel":
            dead = np.zeros(self.classes.count, bool)
            for entry in self.sets:
                dead[entry.classes[: entry.goal]] = True
            return model_macs(self.classes, dead)
        alive = {}
        for reader in self.readers:
            (entry,) = reader.sets
            mask = (np.arange(entry.size) >= entry.goal).reshape(reader.group_shape)
            alive[id(getattr(reader.layer, reader.weight))] = mask
        return model_macs(self.classes, alive=alive)


def _written_axis(classes: Classes, axis: Axis) -> int:
    """The axis of a kernel that makes channels."""
    return next(
        other.axis
        for other in classes.channels.axes.values()
        if other.variable is axis.variable and other.role == "writes"
    )


def _channel_sets(classes: Classes) -> list[GroupSet]:
    """Prunable classes that occur in exactly the same axes, equally often, form a set.

    They cost the same and touch the same layers, so ranking them against each other and
    rounding their number is meaningful; a residual stream that widens along the way (option-A
    shortcuts) falls into one set per width.
    """
    signature: dict[int, list[tuple[int, int]]] = defaultdict(list)
    makers: dict[int, list[str]] = defaultdict(list)
    for number, axis in enumerate(classes.channels.axes.values()):
        found, times = np.unique(classes.of(axis), return_counts=True)
        for index, count in zip(found.tolist(), times.tolist(), strict=True):
            if classes.prunable[index]:
                signature[index].append((number, count))
                if axis.role == "writes":
                    makers[index].append(axis.layer.name)
    members: dict[tuple, list[int]] = defaultdict(list)
    for index in sorted(signature):
        members[tuple(signature[index])].append(index)
    sets = []
    for indices in members.values():
        layers = makers[indices[0]] or ["padding"]
        sets.append(GroupSet(layers[0], layers, len(indices), np.array(indices)))
    return sets
