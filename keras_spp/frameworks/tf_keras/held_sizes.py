"""Constraints and regularizers of users that work for only one size of a weight.

They may hold an array with a limit or a factor per channel, which cannot be cut from outside. In
the small model it would fail at the first training step, so these channels must all stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from keras_spp.core.channels import Channels, Reason, Tensor
from keras_spp.frameworks.tf_keras import private
from keras_spp.frameworks.tf_keras.variables import copies
from keras_spp.frameworks.tf_keras.wrapper import KeepPruned


def freeze_held(channels: Channels, layer: keras.layers.Layer, outputs: Iterable[Tensor]) -> None:
    """Freezes the channels whose number a layer's constraints and regularizers require."""
    penalties = _penalties(layer)
    for axis in [axis for axis in channels.axes.values() if axis.layer is layer]:
        variable = copies(axis.variable)[0]
        functions = penalties.get(id(variable), [])
        constraint = getattr(variable, "constraint", None)
        if isinstance(constraint, KeepPruned):
            constraint = constraint.inner
        if constraint is not None:
            functions = [*functions, constraint]
        if any(_requires_size(f, variable.shape, axis.axis, variable.dtype) for f in functions):
            channels.freeze(axis.labels, Reason.HELD, layer.name)
    of_outputs = getattr(layer, "activity_regularizer", None)
    if of_outputs is not None:
        for x in outputs:
            if any(_requires_size(of_outputs, x.shape, i, layer.compute_dtype) for i in x.varying):
                channels.freeze(x.labels, Reason.HELD, layer.name)


def _penalties(layer: keras.layers.Layer) -> dict[int, list[Callable[..., Any]]]:
    """Returns the regularizers of a layer's variables, which Keras has bound, by variable id."""
    regularizers: dict[int, list[Callable[..., Any]]] = {}
    for part in private.parts(layer):
        for tagged in private.loss_functions(part):
            for loss in getattr(tagged, "args", ()):
                for variable in getattr(loss, "args", ()):
                    if isinstance(variable, tf.Variable):
                        regularizers.setdefault(id(copies(variable)[0]), []).append(loss.func)
    return regularizers


def _requires_size(
    function: Callable[..., Any], shape: Sequence[int | None], axis: int, dtype: Any
) -> bool:
    """Tells whether a function fails on a tensor that is longer by one along an axis."""
    longer = [size + (number == axis) if size else size for number, size in enumerate(shape)]
    with private.internal.FuncGraph("trial").as_default():  # shapes are checked, nothing computed
        value = tf.compat.v1.placeholder(dtype, longer)
        try:
            result = function(value)
            result_shape = tf.TensorShape([])
            if result is not None:
                result_shape = tf.convert_to_tensor(result).shape
        except Exception:  # whatever a user's function raises
            return True
    return bool(result_shape.rank) and not result_shape.is_compatible_with(longer)
