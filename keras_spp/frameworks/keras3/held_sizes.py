"""What users give to a layer that works for only one number of channels, or tells that number.

Constraints and regularizers may hold an array with a limit or a factor per channel, which cannot
be cut from outside. In the small model it would fail at the first training step, so these channels
must all stay. The shape that a Lambda declares is rewritten if it is written out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import numpy as np

from keras_spp.core.channels import Channels, Reason, Tensor
from keras_spp.core.common_rules import counted
from keras_spp.frameworks.keras3 import private


def freeze_held(channels: Channels, layer: Any, outputs: Iterable[Tensor]) -> None:
    """Freezes the channels whose number a layer's constraints and regularizers require."""
    for axis in [axis for axis in channels.axes.values() if axis.layer is layer]:
        variable = axis.variable
        functions = [variable.constraint, variable.regularizer]
        if any(_requires_size(f, variable.shape, axis.axis, variable.dtype) for f in functions):
            channels.freeze(axis.labels, Reason.HELD, layer.name)
    of_outputs = layer.activity_regularizer
    if of_outputs is not None:
        for x in outputs:
            sizes = [size or 1 for size in x.shape]
            if any(_requires_size(of_outputs, sizes, i, layer.compute_dtype) for i in x.varying):
                channels.freeze(x.labels, Reason.HELD, layer.name)


def follow_declared(channels: Channels, layer: Any, outputs: Iterable[Tensor]) -> None:
    """Records the channels in a Lambda's `output_shape`; freezes those of one that it computes."""
    declared = private.declared_output_shape(layer)
    if declared is None:
        return
    written = isinstance(declared, tuple | list) and not any(map(np.ndim, declared))
    for x in outputs:
        for axis in x.varying:
            vector = channels.vector(x, axis)
            if written:  # without the batch
                channels.edit(layer, "output_shape", [vector], counted(declared, axis - 1))
            else:
                channels.freeze(vector, Reason.HELD, layer.name)


def _requires_size(
    function: Callable[..., Any] | None, shape: Sequence[int], axis: int, dtype: Any
) -> bool:
    """Tells whether a function fails on a tensor that is longer by one along an axis."""
    if function is None or type(function).__module__.startswith("keras."):
        return False
    longer = tuple(size + (number == axis) for number, size in enumerate(shape))
    try:
        result = function(keras.ops.ones(longer, dtype))
        result_shape = () if result is None else tuple(keras.ops.shape(result))
    except Exception:  # whatever a user's function raises
        return True
    return bool(result_shape) and result_shape != longer
