"""Multiply-accumulates and parameters of a model, dense or with channels and columns removed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from keras_spp.core.channels import Kernel
from keras_spp.core.coupling import Coupling

# The cost of a kernel of which a shape is left: milliseconds, say.
Price = Callable[[Kernel, list[int]], float]


def kernel_macs(
    coupling: Coupling,
    kernel: Kernel,
    dead: np.ndarray | None = None,
    alive: dict[int, np.ndarray] | None = None,
) -> int:
    """MACs per sample of one kernel.

    Args:
        coupling: The model's channels.
        kernel: The kernel and the positions at which it is applied.
        dead: Channel classes to leave out, shape (classes,); None for none.
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
    shape = _left(coupling, kernel, shape, dead)
    return kernel.positions * columns * int(np.prod(shape, dtype=np.int64))


def model_price(coupling: Coupling, price: Price, dead: np.ndarray | None = None) -> float:
    """What all kernels cost without the dead channels, by a price of each."""
    return sum(
        price(kernel, _left(coupling, kernel, list(kernel.variable.shape), dead))
        for kernel in coupling.channels.kernels.values()
    )


def _left(
    coupling: Coupling, kernel: Kernel, shape: list[int], dead: np.ndarray | None
) -> list[int]:
    """A shape of a kernel without the dead channels; an axis of one is none of channels."""
    shape = list(shape)
    if dead is not None:
        for axis, size in enumerate(shape):
            labelled = coupling.channels.axes.get((id(kernel.variable), axis))
            if labelled is not None and size > 1:
                shape[axis] = int(coupling.keep(labelled.labels, dead).sum())
    return shape


def model_macs(
    coupling: Coupling,
    dead: np.ndarray | None = None,
    alive: dict[int, np.ndarray] | None = None,
) -> int:
    """MACs per sample of all kernels and products, or of what `coupling.counted` says.

    Biases and normalisation are not counted.
    """
    record, everything = coupling.channels, coupling.counted == "all"
    kernels = sum(
        kernel_macs(coupling, kernel, dead, alive)
        for kernel in record.kernels.values()
        if everything or len(kernel.variable.shape) > 2
    )
    return kernels + (sum(record.measured.values()) if everything else 0)
