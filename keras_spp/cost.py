"""Multiply-accumulates and parameters of a model, dense or with channels and columns removed."""

from __future__ import annotations

import numpy as np

from keras_spp.channels import Classes, Kernel


def kernel_macs(
    classes: Classes,
    kernel: Kernel,
    dead: np.ndarray | None = None,
    alive: dict[int, np.ndarray] | None = None,
) -> int:
    """MACs per sample of one kernel.

    Args:
        classes: The model's channels.
        kernel: The kernel and the positions at which it is applied.
        dead: Channel classes to leave out, shape (classes,); None for none.
        alive: As for `Classes.dead`; pruned columns of a masked kernel cost nothing.

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
    if dead is not None:
        for axis, size in enumerate(shape):
            labelled = classes.channels.axes.get((id(kernel.variable), axis))
            if labelled is not None and size > 1:
                shape[axis] = int(classes.keep(labelled.labels, dead).sum())
    return kernel.positions * columns * int(np.prod(shape, dtype=np.int64))


def model_macs(
    classes: Classes,
    dead: np.ndarray | None = None,
    alive: dict[int, np.ndarray] | None = None,
) -> int:
    """MACs per sample of all kernels and products, or of what `classes.counted` says.

    Biases and normalisation are not counted.
    """
    record, everything = classes.channels, classes.counted == "all"
    kernels = sum(
        kernel_macs(classes, kernel, dead, alive)
        for kernel in record.kernels.values()
        if everything or len(kernel.variable.shape) > 2
    )
    return kernels + (sum(record.measured.values()) if everything else 0)
