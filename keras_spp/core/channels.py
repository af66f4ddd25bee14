"""Which channel is which, everywhere in a model: labels, what ties them, what freezes them.

Every channel that a layer produces gets an integer *label*. A tensor is described by an array
of labels with one axis per tensor axis (batch included, size 1); an axis along which the
labels do not vary has size 1, so that a feature map of C channels is ``(1, 1, 1, C)``.
Rules (`keras_spp.core.rule`) move labels through the layers and record here

* which axis of which variable carries which labels, and whether it *writes*, *reads* or merely
  *follows* them,
* which labels are one and the same channel (an addition ties both of its inputs),
* which labels nobody may remove, and why,
* which sizes in layer configs and call arguments depend on them.

`keras_spp.core.coupling` finds in this record which channels live and die together.
"""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

Labels = np.ndarray
Sizes = tuple[int | None, ...]  # None where a size is open


class Reason(enum.StrEnum):
    """Why channels cannot be pruned: the closed set that `spp.analyze` prints."""

    INPUT = "model input"
    OUTPUT = "model output"
    MIXES = "mixes channels"
    UNKNOWN = "unknown layer"
    FUNCTION = "unknown function"
    FAILED = "rule failed"
    UNREAD = "read by no layer with a kernel"
    SHAPE = "reshaped in a way that cannot be followed"
    SHARED = "shared with incompatible use"
    GROUPS = "group mismatch"
    FEW = "too few channels"
    HELD = "held to its size"
    POLICY = "excluded by policy"
    FROZEN = "not trainable"


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor of the model.

    Attributes:
        labels: Its labels.
        shape: Its static shape, None where a size is not known.
        dtype: The type of its elements.
        made_of: How it is computed, if from sizes of other tensors alone.
    """

    labels: Labels
    shape: tuple[int | None, ...]
    dtype: Any = "float32"
    made_of: Computation | None = None

    @property
    def varying(self) -> list[int]:
        """Axes along which the labels differ."""
        return [axis for axis, size in enumerate(self.labels.shape) if size > 1]

    def origins(self) -> list[Tensor]:
        """Returns the tensors whose sizes this one is made of; itself if it is not made of any."""
        return [self] if self.made_of is None else self.made_of.origins()

    def counts_channels(self) -> bool:
        """Says whether it changes when channels leave the tensors whose sizes it is made of."""
        return self.made_of is not None and self.made_of.counts_channels()


class Computation(Protocol):
    """How a framework computes a tensor from the sizes of others, like `tf.shape(x)[1] // 2`."""

    def origins(self) -> list[Tensor]:
        """Returns the tensors whose sizes are taken."""

    def counts_channels(self) -> bool:
        """Says whether the result changes when channels leave those tensors."""

    def value(self, places: dict[int, Any]) -> Any:
        """Computes the result.

        Args:
            places: What stands for each of the labelled tensors, by its id.
        """


@dataclass
class Axis:
    """One axis of one variable, labelled."""

    layer: Any
    variable: Any
    axis: int
    labels: Labels
    role: str  # "writes", "reads" or "follows"
    path: str | None = None  # of the layer's attribute that holds it, like "cell.kernel"


@dataclass(frozen=True)
class Argument:
    """An argument of a layer's call, by position or by name, or one entry of a sequence there."""

    name: int | str
    entry: int | None = None


@dataclass
class Edit:
    """A value in a layer's config (str) or call that depends on how many channels survive.

    `value` receives one boolean keep-vector for each entry of `labels`.
    """

    layer: Any
    key: str | Argument
    labels: Sequence[Labels]
    value: Callable[..., Any]


@dataclass(frozen=True)
class Kernel:
    """A variable whose every element costs `positions` multiply-accumulates per sample."""

    layer: Any
    variable: Any
    positions: int


class Channels:
    """The record of one model's channels; `keras_spp.frameworks.tf_keras.tracing` fills it."""

    def __init__(self) -> None:
        self.axes: dict[tuple[int, int], Axis] = {}
        self.edits: dict[tuple[int, str | Argument], Edit] = {}
        self.kernels: dict[int, Kernel] = {}
        self.refused: set[int] = set()  # ids of layers that keep their kernels whole
        self.unknown_size = False
        self.batch: int | None = None  # the model's own, if it is fixed
        self.count = 0
        self._times: list[int | None] = []
        self._unmeasured: list[Any] = []
        self.given: dict[int, str] = {}  # variables given to functions, and by which layer
        self.failures: dict[str, str] = {}  # what rules have raised, by the layer's name
        self.measured: dict[int, int] = {}  # MACs of layers without a rule, by id
        self.ties: list[tuple[Labels, Labels]] = []
        self.frozen: list[tuple[Labels, Reason, str]] = []

    # -- recording ---------------------------------------------------------------------------

    def new(self, count: int) -> Labels:
        """Returns `count` labels that nothing else carries yet."""
        self.count += count
        return np.arange(self.count - count, self.count)

    def tie(self, first: Labels, second: Labels) -> None:
        """Makes two label arrays of one shape the same channels, position by position."""
        self.ties.append((np.ravel(first), np.ravel(second)))

    def freeze(self, labels: Labels, reason: Reason, detail: str = "") -> None:
        """Forbids to remove these labels; the first reason given is the one reported."""
        self.frozen.append((np.ravel(labels), reason, detail))

    def label(
        self,
        layer: Any,
        variable: Any,
        axis: int,
        labels: Labels,
        role: str,
        path: str | None = None,
    ) -> Labels:
        """Records that an axis of a variable carries labels; a second call ties them."""
        axis %= len(variable.shape)
        known = self.axes.setdefault(
            (id(variable), axis), Axis(layer, variable, axis, labels, role, path)
        )
        if known.labels is not labels:
            self.tie(known.labels, labels)
        return known.labels

    def edit(
        self, layer: Any, key: str | Argument, labels: Sequence[Labels], value: Callable[..., Any]
    ) -> None:
        """Records a size to rewrite; a shared layer has one config, so its calls are tied."""
        known = self.edits.setdefault((id(layer), key), Edit(layer, key, labels, value))
        for before, now in zip(known.labels, labels, strict=True):
            if before is now:
                continue
            if before.shape == now.shape:
                self.tie(before, now)
            else:
                self.freeze(before, Reason.SHARED, layer.name)
                self.freeze(now, Reason.SHARED, layer.name)

    def cost(self, layer: Any, variable: Any, positions: Sequence[int | None]) -> None:
        """Adds the multiply-accumulates of one call: kernel elements times positions."""
        known = self.kernels.get(id(variable))
        positions = [*positions, *self._times]
        # A free input size has no MACs; counting one position keeps the ratios of layers at
        # one resolution right, and `unknown_size` lets callers refuse a target in MACs.
        self.unknown_size |= None in positions
        count = int(np.prod([size or 1 for size in positions], dtype=np.int64))
        self.kernels[id(variable)] = Kernel(
            layer, variable, count + (known.positions if known else 0)
        )

    def give(self, layer: Any, variable: Any) -> None:
        """Says that a function was given a variable, perhaps another layer's."""
        self.given.setdefault(id(variable), layer.name)

    def fail(self, layer: Any, error: str) -> None:
        """Says what a layer's rule has raised; what it had recorded by then stays whole."""
        self.failures.setdefault(layer.name, error)
        for axis in self.axes.values():
            if axis.layer is layer:
                self.freeze(axis.labels, Reason.FAILED, layer.name)

    def leave_to_measure(self, layer: Any) -> None:
        """Says that no rule tells what this layer costs."""
        self._unmeasured.append(layer)

    def take_unmeasured(self) -> list[Any]:
        """The layers that `leave_to_measure` named since this was last asked."""
        found, self._unmeasured = self._unmeasured, []
        return found

    def cost_measured(self, layer: Any, count: int | None) -> None:
        """Adds the multiply-accumulates of one call of such a layer; None if a size is open.

        They are those of a whole batch, of one sample if its size is open.
        """
        times = [size or 1 for size in self._times]
        self.unknown_size |= count is None or None in self._times
        count = (count or 0) * int(np.prod(times, dtype=np.int64)) // (self.batch or 1)
        self.measured[id(layer)] = self.measured.get(id(layer), 0) + count

    @contextlib.contextmanager
    def repeated(self, times: int | None) -> Iterator[None]:
        """What is recorded inside is computed so many times per sample."""
        self._times.append(times)
        yield
        self._times.pop()

    def causes(self) -> dict[str, Reason]:
        """Layers that freeze something, by name."""
        return {name: reason for _, reason, name in reversed(self.frozen) if name}

    # -- label arrays ------------------------------------------------------------------------

    def vector(self, tensor: Tensor, axis: int = -1) -> Labels:
        """Labels along one axis, one per position; differences along other axes are tied."""
        axis %= len(tensor.shape)
        size = tensor.shape[axis]
        if size == 0:  # a part of nothing, as tf.split may make it
            return np.empty(0, int)
        rows = np.moveaxis(tensor.labels, axis, -1).reshape(-1, tensor.labels.shape[axis])
        self.tie(np.broadcast_to(rows[0], rows[1:].shape), rows[1:])
        return rows[0] if size is None else np.broadcast_to(rows[0], (size,))

    def settle(self, labels: Labels) -> Labels:
        """Reduces full labels to arrays that vary along one axis at most, tying the others.

        A tensor stays rectangular only if channels leave along one axis: of several, the one
        with the most different labels stays free (for a shuffle's (groups, channels / groups)
        that ties the groups, so that each of them keeps the same number).
        """
        for axis, size in enumerate(labels.shape):
            if size > 1 and (labels == labels.take([0], axis)).all():
                labels = labels.take([0], axis)
        varying = [axis for axis, size in enumerate(labels.shape) if size > 1]
        if len(varying) > 1:
            free = max(varying, key=lambda axis: (len(np.unique(_line(labels, axis))), axis))
            for axis in varying:
                if axis != free:
                    labels = self.same_along(labels, axis)
        return labels

    def same_along(self, labels: Labels, axis: int) -> Labels:
        """Ties what differs along an axis, which gets size 1."""
        first = labels.take([0], axis)
        self.tie(np.broadcast_to(first, labels.shape), labels)
        return first


def _line(labels: Labels, axis: int) -> Labels:
    """The labels along one axis at the origin of the others."""
    return labels[tuple(slice(None) if i == axis else 0 for i in range(labels.ndim))]
