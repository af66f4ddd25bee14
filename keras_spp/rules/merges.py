"""Rules of layers that merge several tensors into one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_spp.core.call import Call
from keras_spp.core.channels import Labels, Reason, Tensor
from keras_spp.core.common_rules import merged
from keras_spp.core.rule import keras_rule


def concatenated(call: Call, tensors: Sequence[Tensor], axis: int) -> Labels | list[Labels]:
    """Concatenates the labels of tensors."""
    rank = len(call.shapes[0])
    axis %= rank
    sizes = [size for x in tensors if (size := x.shape[axis]) is not None]
    if len(sizes) < len(tensors):
        return call.opaque(tensors, Reason.SHAPE)
    common = np.broadcast_shapes(
        *[[1 if i == axis else size for i, size in enumerate(x.labels.shape)] for x in tensors]
    )
    parts = [
        np.broadcast_to(x.labels, (*common[:axis], size, *common[axis + 1 :]))
        for x, size in zip(tensors, sizes, strict=True)
    ]
    return call.channels.settle(np.concatenate(parts, axis))


@keras_rule("Concatenate")
def concatenate(call: Call, tensors: Sequence[Tensor], **_: Any) -> Labels | list[Labels]:
    """Concatenates tensors along any axis."""
    return concatenated(call, tensors, call.layer.axis)


keras_rule("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")(merged)
