"""The record of a model's channels: their labels, ties between them, and which are frozen.

Every channel that a layer produces gets an integer *label*. A tensor is described by an array
of labels with one axis per tensor axis (batch included, size 1); an axis along which the
labels do not vary has size 1, so that a feature map of C channels is ``(1, 1, 1, C)``.
Rules (`keras_spp.core.rule`) move labels through the layers and record here

* which axis of which variable carries which labels, and whether it *writes*, *reads* or merely
  *follows* them,
* which labels are one and the same channel (an addition ties both of its inputs),
* which labels must not be removed, and why,
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


class Reason(str, enum.Enum):
    """The reasons why channels cannot be pruned, as `spp.analyze` prints them."""

    __str__ = str.__str__  # what enum.StrEnum does, from Python 3.11 on

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
    ADAPTED = "quantized, or has LoRA enabled"
    POLICY = "excluded by policy"
    FROZEN = "not trainable"


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor of the model.

    Attributes:
        labels: Its labels.
        shape: Its static shape, None where a size is not known.
        dtype: The type of its elements.
        made_of: How it is computed, if only from sizes of other tensors.
    """

    labels: Labels
    shape: tuple[int | None, ...]
    dtype: Any = "float32"
    made_of: Computation | None = None

    @property
    def varying(self) -> list[int]:
        """The axes along which the labels differ."""
        return [axis for axis, size in enumerate(self.labels.shape) if size > 1]

    def origins(self) -> list[Tensor]:
        """Returns the tensors whose sizes this one is made of; itself if of none."""
        return [self] if self.made_of is None else self.made_of.origins()

    def counts_channels(self) -> bool:
        """Tells whether this tensor changes when channels leave those whose sizes it is made of."""
        return self.made_of is not None and self.made_of.counts_channels()


class Computation(Protocol):
    """A computation of a tensor from the sizes of others, like `tf.shape(x)[1] // 2`."""

    def origins(self) -> list[Tensor]:
        """Returns the tensors whose sizes are taken."""

    def counts_channels(self) -> bool:
        """Tells whether the result changes when channels leave those tensors."""

    def value(self, places: dict[int, Any]) -> Any:
        """Computes the result.

        Args:
            places: The value that replaces each of the labelled tensors, by its id.
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
    """The record of one model's channels, which whoever traces the model fills.

    Args:
        batch: The model's own batch size, if it is fixed.
    """

    def __init__(self, batch: int | None = None) -> None:
        self.axes: dict[tuple[int, int], Axis] = {}
        self.edits: dict[tuple[int, str | Argument], Edit] = {}
        self.kernels: dict[int, Kernel] = {}
        self.refused: set[int] = set()  # ids of layers that keep their kernels whole
        self.unknown_size = False
        self.batch = batch
        self.count = 0
        self._times: list[int | None] = []
        self._unmeasured: list[Any] = []
        self.in_functions: dict[int, str] = {}  # layer by id of a function's variable
        self.failures: dict[str, str] = {}  # what rules have raised, by the layer's name
        self.measured: dict[int, int] = {}  # MACs of layers without a rule, by id
        self.shared: dict[int, Labels] = {}  # by id, the channels that have equal shares in these
        self.avoided: list[tuple[Labels, Sequence[int]]] = []
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
        """Records that these labels must stay; the first reason given is the one reported."""
        self.frozen.append((np.ravel(labels), reason, detail))

    def avoid(self, labels: Labels, counts: Sequence[int]) -> None:
        """Records that not so many of these channels may be left, of which none is there twice."""
        if counts:
            self.avoided.append((np.ravel(labels), counts))

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
        recorded = self.axes.setdefault(
            (id(variable), axis), Axis(layer, variable, axis, labels, role, path)
        )
        if recorded.labels is not labels:
            self.tie(recorded.labels, labels)
        return recorded.labels

    def edit(
        self, layer: Any, key: str | Argument, labels: Sequence[Labels], value: Callable[..., Any]
    ) -> None:
        """Records a size to rewrite; a shared layer has one config, so its calls are tied."""
        recorded = self.edits.setdefault((id(layer), key), Edit(layer, key, labels, value))
        for old, new in zip(recorded.labels, labels, strict=True):
            if old is new:
                continue
            if old.shape == new.shape:
                self.tie(old, new)
            else:
                self.freeze(old, Reason.SHARED, layer.name)
                self.freeze(new, Reason.SHARED, layer.name)

    def cost(self, layer: Any, variable: Any, positions: Sequence[int | None]) -> None:
        """Adds the multiply-accumulates of one call: kernel elements times positions."""
        recorded = self.kernels.get(id(variable))
        positions = [*positions, *self._times]
        # A free input size has no MACs; counting one position keeps the ratios of layers at
        # one resolution right, and `unknown_size` lets callers refuse a target in MACs.
        self.unknown_size |= None in positions
        count = int(np.prod([size or 1 for size in positions], dtype=np.int64))
        self.kernels[id(variable)] = Kernel(
            layer, variable, count + (recorded.positions if recorded else 0)
        )

    def give_to_function(self, layer: Any, variable: Any) -> None:
        """Records that a function receives a variable, perhaps another layer's."""
        self.in_functions.setdefault(id(variable), layer.name)

    def fail(self, layer: Any, error: str) -> None:
        """Records what a layer's rule raised, and freezes what it had recorded before."""
        self.failures.setdefault(layer.name, error)
        for axis in self.axes.values():
            if axis.layer is layer:
                self.freeze(axis.labels, Reason.FAILED, layer.name)

    def leave_to_measure(self, layer: Any, labels: Labels | None = None) -> None:
        """Records that no rule tells what this layer costs.

        Args:
            layer: The layer.
            labels: Channels each of which has the same share in that; None if there are none.
        """
        self._unmeasured.append(layer)
        if labels is not None:
            self.shared.setdefault(id(layer), labels)

    def take_unmeasured(self) -> list[Any]:
        """Returns and forgets the layers that `leave_to_measure` has recorded."""
        layers, self._unmeasured = self._unmeasured, []
        return layers

    def cost_measured(self, layer: Any, count: int | None) -> None:
        """Adds the measured multiply-accumulates of one call; None if a size is open.

        They are counted for a whole batch, or for one sample if the batch size is open.
        """
        times = [size or 1 for size in self._times]
        self.unknown_size |= count is None or None in self._times
        count = (count or 0) * int(np.prod(times, dtype=np.int64)) // (self.batch or 1)
        self.measured[id(layer)] = self.measured.get(id(layer), 0) + count

    @contextlib.contextmanager
    def repeated(self, times: int | None) -> Iterator[None]:
        """Multiplies the costs that are recorded inside by this many times per sample."""
        self._times.append(times)
        yield
        self._times.pop()

    def causes(self) -> dict[str, Reason]:
        """Returns the first reason of each layer that freezes something, by its name."""
        return {name: reason for _, reason, name in reversed(self.frozen) if name}

    # -- label arrays ------------------------------------------------------------------------

    def vector(self, tensor: Tensor, axis: int = -1) -> Labels:
        """Returns the labels along one axis, one per position; ties those along other axes."""
        axis %= len(tensor.shape)
        size = tensor.shape[axis]
        if size == 0:  # an empty part, as tf.split may make it
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
        """Ties the labels that differ along an axis, which gets size 1."""
        first = labels.take([0], axis)
        self.tie(np.broadcast_to(first, labels.shape), labels)
        return first


def _line(labels: Labels, axis: int) -> Labels:
    """Returns the labels along one axis at the origin of the others."""
    return labels[tuple(slice(None) if i == axis else 0 for i in range(labels.ndim))]
