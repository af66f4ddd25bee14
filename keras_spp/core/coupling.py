"""Finds in a record of labels and ties which channels live and die together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from keras_spp.core.channels import Axis, Channels, Labels, Reason


def couple(channels: Channels) -> Coupling:
    """Evaluates a record: merges tied labels, collects reasons, finds what may be pruned.

    Example:
        >>> channels = Channels()
        >>> channels.tie(channels.new(2), channels.new(2))
        >>> couple(channels).of_label
        array([0, 1, 0, 1], dtype=int32)
    """
    for (variable, _), axis in channels.axes.items():
        if variable in channels.in_functions:  # a tied weight cannot change its shape
            channels.freeze(axis.labels, Reason.SHARED, channels.in_functions[variable])
    first = np.concatenate([np.empty(0, int), *[pair[0] for pair in channels.ties]])
    second = np.concatenate([np.empty(0, int), *[pair[1] for pair in channels.ties]])
    shape = (channels.count, channels.count)
    edges = coo_array((np.ones(len(first), bool), (first, second)), shape)
    count, of_label = connected_components(edges, directed=False)
    return Coupling(channels, of_label, count, channels.frozen)


class Coupling:
    """Channels that live and die together, found by `couple`.

    Attributes:
        of_label: Class of each label, shape (labels,).
        prunable: Whether every use of the class can lose it, shape (classes,), bool.
        reasons: For the others, class -> (reason, detail).
    """

    def __init__(
        self,
        channels: Channels,
        of_label: np.ndarray,
        count: int,
        frozen: Sequence[tuple[Labels, Reason, str]],
    ) -> None:
        self.channels = channels
        self.of_label = of_label
        self.count = count
        self.reasons: dict[int, tuple[Reason, str]] = {}
        for labels, reason, detail in frozen:
            for index in np.unique(of_label[labels]):
                self.reasons.setdefault(int(index), (reason, detail))
        read = np.zeros(count, bool)
        for axis in self.reads:
            read[of_label[axis.labels]] = True
        self.prunable = read.copy()
        self.prunable[list(self.reasons)] = False
        for index in np.flatnonzero(~read):
            self.reasons.setdefault(int(index), (Reason.UNREAD, ""))
        self._freeze_whole_axes()

    def _freeze_whole_axes(self) -> None:
        """Freezes a class that fills a whole axis: without it the layer would have no channels."""
        for axis in self.channels.axes.values():
            classes = np.unique(self.of(axis))
            if len(classes) == 1 and classes[0] not in self.reasons:
                # Grouped convolutions tie their groups; with others around they may tie them all.
                mismatch = 1 < getattr(axis.layer, "groups", 1) < len(axis.labels)
                reason = Reason.GROUPS if mismatch else Reason.FEW
                self.reasons[int(classes[0])] = (reason, axis.layer.name)
                self.prunable[classes[0]] = False

    @property
    def reads(self) -> list[Axis]:
        """The kernel axes that read channels."""
        return [axis for axis in self.channels.axes.values() if axis.role == "reads"]

    def of(self, axis: Axis) -> np.ndarray:
        """Returns the class of each position of a variable's axis."""
        return self.of_label[axis.labels]

    def dead(self, alive: Mapping[int, np.ndarray]) -> np.ndarray:
        """Returns the classes that no layer reads any more.

        Args:
            alive: For the kernels that are masked, `id(variable)` -> boolean array that
                broadcasts against the kernel: True where a group of weights is not pruned.

        Returns:
            Booleans of shape (classes,). Every axis keeps at least one position: a layer
            without channels cannot be built, and what a zero kernel reads does not matter.
        """
        dead = self.prunable.copy()
        for axis in self.reads:
            mask = alive.get(id(axis.variable))
            if mask is None:
                dead[self.of(axis)] = False
            else:
                others = tuple(i for i in range(mask.ndim) if i != axis.axis)
                seen = np.broadcast_to(mask.any(axis=others), axis.labels.shape)
                dead[self.of(axis)[seen]] = False
        for axis in self.channels.axes.values():
            classes = self.of(axis)
            if classes.size and dead[classes].all():
                dead[classes[0]] = False
        self._revive(dead)
        return dead

    def _revive(self, dead: np.ndarray) -> None:
        """Has one class more live wherever there would be as many channels as must not be left.

        Nothing reads it, so that it changes no output.
        """
        changed = True
        while changed:
            changed = False
            for labels, counts in self.channels.avoided:
                gone = dead[self.of_label[labels]]
                if int((~gone).sum()) in counts:
                    dead[self.of_label[labels][gone][0]] = False
                    changed = True

    def keep(self, labels: Labels, dead: np.ndarray) -> np.ndarray:
        """Returns the boolean keep-vector of a label array."""
        return ~dead[self.of_label[labels]]
