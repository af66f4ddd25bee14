"""Rules of layers that keep the channels: elementwise, normalisations, constants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_spp.core.call import Call, flatten
from keras_spp.core.channels import Labels, Reason, Tensor
from keras_spp.core.common_rules import count
from keras_spp.core.rule import keras_rule


def channel_axis(layer: Any) -> int:
    """Returns the axis of the channels under the layer's data format."""
    return 1 if getattr(layer, "data_format", None) == "channels_first" else -1


def spatial(layer: Any, shape: Sequence[int | None]) -> tuple[int | None, ...]:
    """Returns the spatial dimensions of a shape."""
    return tuple(shape[2:] if channel_axis(layer) == 1 else shape[1:-1])


def mixes(x: Tensor, axes: Any) -> bool:
    """Tells whether a computation over these axes mixes the batch or the channels."""
    computed = {int(axis) % len(x.shape) for axis in flatten(axes)}
    return bool(computed & {0, *(x.varying or [len(x.shape) - 1])})


@keras_rule("Softmax", "LayerNormalization", "RMSNormalization", "UnitNormalization")
def normalised(call: Call, x: Tensor, **_: Any) -> Labels | list[Labels]:
    """Freezes the channels if the layer normalises over them: each depends on the others then."""
    return call.opaque([x], Reason.MIXES) if mixes(x, call.layer.axis) else x.labels


@keras_rule("GroupNormalization")
def group_normalization(call: Call, x: Tensor, **_: Any) -> Labels | list[Labels]:
    """Keeps the channels if each one is a group (instance normalisation)."""
    layer = call.layer
    labels = call.vector(x, layer.axis)
    if layer.groups != len(labels):
        return call.opaque([x], Reason.MIXES)
    for variable in layer.weights:
        call.follows(variable, 0, labels)
    call.resize("groups", [labels], count)
    return call.place(labels, layer.axis)


@keras_rule("Masking")
def masking(call: Call, x: Tensor, **_: Any) -> Labels:
    """Freezes the channels if they decide which time steps count.

    Without some of them the numbers stay the same only if zeros mark a step and no layer asks for
    the mask.
    """
    if call.layer.mask_value != 0 or call.framework.asks_for_mask(call.layer):
        call.freeze(x.labels, Reason.MIXES)
    return x.labels


@keras_rule("AddLoss", "AddMetric")
def observed(call: Call, x: Tensor, *_: Any, **__: Any) -> Labels:
    """Freezes what a loss or a metric of the model's own reads."""
    call.freeze(x.labels, Reason.OUTPUT)
    return x.labels


@keras_rule("PReLU")
def prelu(call: Call, x: Tensor, **_: Any) -> Labels:
    """Records a slope per channel and, unless shared, per position."""
    for axis in x.varying:
        if call.layer.alpha.shape[axis - 1] > 1:
            call.follows(call.layer.alpha, axis - 1, call.vector(x, axis))
    return x.labels


BATCH_NORMALIZATIONS = ("BatchNormalization", "SyncBatchNormalization")


@keras_rule(*BATCH_NORMALIZATIONS)
def batch_normalization(call: Call, x: Tensor, **_: Any) -> Labels | list[Labels]:
    """Records a scale, an offset and statistics per channel."""
    axes = flatten(call.layer.axis)
    if len(axes) > 1 or getattr(call.layer, "virtual_batch_size", None) is not None:
        return call.opaque([x], Reason.MIXES)
    labels = call.vector(x, axes[0])
    if np.ndim(call.layer.momentum):
        call.freeze(labels, Reason.HELD)
    for variable in call.layer.weights:
        if tuple(variable.shape) == labels.shape:  # renormalisation adds scalars
            call.follows(variable, 0, labels)
    return call.place(labels, axes[0])


def sliced_config(call: Call, key: str, labels: Labels) -> None:
    """Records that a constant in the config has one value per channel, if it has."""
    value = call.layer.get_config()[key]
    if isinstance(value, Mapping):  # as Keras 3 serializes an array
        value = np.asarray(getattr(call.layer, key))
    if value is not None and np.shape(value)[-1:] == labels.shape and np.size(value) > 1:
        call.resize(key, [labels], lambda keep: np.compress(keep, value, axis=-1).tolist())


@keras_rule("Rescaling")
def rescaling(call: Call, x: Tensor, **_: Any) -> Labels:
    """Records constants of one value, or of one per channel."""
    labels = call.vector(x)
    sliced_config(call, "scale", labels)
    sliced_config(call, "offset", labels)
    return call.place(labels)


@keras_rule("Normalization")
def normalization(call: Call, x: Tensor, **_: Any) -> Labels | list[Labels]:
    """Records a mean and a variance, as weights (adapted) or as constants (given)."""
    layer, rank = call.layer, len(x.shape)
    if layer.axis not in ((), (-1,), (rank - 1,)):
        return call.opaque([x], Reason.SHAPE)
    labels = call.vector(x)
    for variable in layer.weights:
        if layer.axis and tuple(variable.shape) == labels.shape:
            call.follows(variable, 0, labels)
    sliced_config(call, "mean", labels)
    sliced_config(call, "variance", labels)
    return call.place(labels)
