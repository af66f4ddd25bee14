"""What a model costs, dense or with channels and columns removed: MACs, or another cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from keras_spp.core.channels import Kernel
from keras_spp.core.coupling import Coupling

COUNTED = ("all", "convolutions")
# Which groups of each masked kernel are left, by the id of the kernel, as for `Coupling.dead`.
Alive = Mapping[int, np.ndarray]


class Cost(Protocol):
    """What a target limits: it tells what is left of a model's cost when parts of it are gone."""

    def left(self, dead: np.ndarray | None = None, alive: Alive | None = None) -> float:
        """Returns the cost without the dead classes, shape (classes,), and pruned columns."""


class MACs:
    """Counts multiply-accumulates per sample; those of biases and normalisation are not counted.

    Args:
        coupling: The model's channels.
        counted: Whose MACs count: "all", or those of "convolutions" only (kernels of at least
            three axes).
    """

    def __init__(self, coupling: Coupling, counted: str = "all") -> None:
        self.coupling, self.counted = coupling, counted

    def left(self, dead: np.ndarray | None = None, alive: Alive | None = None) -> int:
        """Returns the MACs of all kernels and products, or of the convolutions.

        Args:
            dead: Classes of channels to leave out, shape (classes,); None for none.
            alive: As for `Coupling.dead`; pruned columns of a masked kernel cost nothing.
        """
        record, everything = self.coupling.channels, self.counted == "all"
        kernels = sum(
            kernel_macs(self.coupling, kernel, dead, alive)
            for kernel in record.kernels.values()
            if everything or len(kernel.variable.shape) > 2
        )
        if not everything:
            return kernels
        return kernels + sum(self._measured_left(number, dead) for number in record.measured)

    def _measured_left(self, number: int, dead: np.ndarray | None) -> int:
        """Returns what is left of the measured cost of a layer, by its id."""
        record = self.coupling.channels
        count, labels = record.measured[number], record.shared.get(number)
        if dead is None or labels is None:
            return count
        return count * int(self.coupling.keep(labels, dead).sum()) // len(labels)


def kernel_macs(
    coupling: Coupling,
    kernel: Kernel,
    dead: np.ndarray | None = None,
    alive: Alive | None = None,
) -> int:
    """Returns the MACs per sample of one kernel.

    Args:
        coupling: The model's channels.
        kernel: The kernel and the positions at which it is applied.
        dead: Classes of channels to leave out, shape (classes,); None for none.
        alive: As for `Coupling.dead`; pruned columns of a masked kernel cost nothing.

    Returns:
        The count: kernel elements that remain times positions. A convolution at a border
        counts as one inside, as is usual.
    """
    shape = list(kernel.variable.shape)
    mask = (alive or {}).get(id(kernel.variable))
    columns = 1
    if mask is not None:
        columns = int(mask.sum())
        shape = [size if mask.shape[axis] == 1 else 1 for axis, size in enumerate(shape)]
    shape = shape_left(coupling, kernel, shape, dead)
    return kernel.positions * columns * int(np.prod(shape, dtype=np.int64))


def shape_left(
    coupling: Coupling, kernel: Kernel, shape: list[int], dead: np.ndarray | None
) -> list[int]:
    """Returns a shape of a kernel without the dead channels; an axis of size 1 has none."""
    shape = list(shape)
    if dead is not None:
        for axis, size in enumerate(shape):
            labelled = coupling.channels.axes.get((id(kernel.variable), axis))
            if labelled is not None and size > 1:
                shape[axis] = int(coupling.keep(labelled.labels, dead).sum())
    return shape
