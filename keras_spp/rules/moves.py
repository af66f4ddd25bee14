"""Rules of layers that move channels, or move values in space and leave channels alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_spp.core.call import Call
from keras_spp.core.channels import Labels, Tensor
from keras_spp.core.common_rules import count, counted, moved, tried_layer
from keras_spp.core.rule import keras_rule
from keras_spp.rules.channelwise import channel_axis

# -- space ---------------------------------------------------------------------------------------


@keras_rule(
    "MaxPooling1D", "MaxPooling2D", "MaxPooling3D", "AveragePooling1D", "AveragePooling2D",
    "AveragePooling3D", "ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D", "UpSampling1D",
    "UpSampling2D", "UpSampling3D", "Resizing",
    "CenterCrop", "RandomCrop", "RandomFlip", "RandomRotation", "RandomTranslation", "RandomZoom",
    "RandomHeight", "RandomWidth", "RandomContrast", "RandomBrightness",
)  # fmt: skip
def in_space(call: Call, x: Tensor, **_: Any) -> Labels | list[Labels]:
    """Keeps the channels: each one is computed by itself, in space."""
    axis = channel_axis(call.layer)
    if set(x.varying) - {axis % len(x.shape)}:  # channels where the layer expects space
        return tried_layer(call, (x,), {})
    return call.place(call.vector(x, axis), axis)


@keras_rule("Cropping1D", "Cropping2D", "Cropping3D")
def cropping(call: Call, x: Tensor, **_: Any) -> Labels | list[Labels]:
    """Crops the channels, too, if they lie where the layer expects space."""
    first = 2 if channel_axis(call.layer) == 1 else 1
    borders = call.layer.get_config()["cropping"]
    one_dimension = np.ndim(borders) == 1
    amounts = [borders] if one_dimension else list(borders)
    labels = x.labels
    for place, (before, after) in enumerate(amounts):
        axis = first + place
        if labels.shape[axis] == 1:
            continue
        vector = call.vector(x, axis)
        end = len(vector) - after
        labels = call.place(vector[before:end], axis)

        def resized(head: np.ndarray, tail: np.ndarray, place: int = place) -> Any:
            new = (count(head), count(tail))
            pairs = [new if i == place else pair for i, pair in enumerate(amounts)]
            return new if one_dimension else pairs

        call.resize("cropping", [vector[:before], vector[end:]], resized)
    return labels


@keras_rule(
    "GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalAveragePooling3D",
    "GlobalMaxPooling1D", "GlobalMaxPooling2D", "GlobalMaxPooling3D",
)  # fmt: skip
def out_of_space(call: Call, x: Tensor, **_: Any) -> Labels:
    """Keeps the channels, of which each becomes one value."""
    axis = channel_axis(call.layer)
    return call.place(call.vector(x, axis), 1 if len(call.shapes[0]) == 2 else axis)


# -- moving channels -----------------------------------------------------------------------------


@keras_rule("Flatten")
def flatten(call: Call, x: Tensor, **_: Any) -> Labels | list[Labels]:
    """Puts channels last, whatever the data format."""
    first = channel_axis(call.layer) == 1 and len(x.shape) > 2
    return moved(call, x, lambda v: (np.moveaxis(v, 1, -1) if first else v).reshape(1, -1))


def regroups(x: Tensor, target: tuple[int | None, ...]) -> bool:
    """Tells whether a reshape moves only batch and space, however it mixes the two."""
    last = len(x.shape) - 1
    return last > 0 and len(target) > 1 and x.varying == [last] and target[-1] == x.shape[-1]


@keras_rule("Reshape")
def reshape(call: Call, x: Tensor, **_: Any) -> Labels | list[Labels]:
    """Moves the channels and records `target_shape`, which leaves the batch out."""
    same = regroups(x, call.shapes[0])
    labels: Labels | list[Labels] = (
        call.place(call.vector(x))
        if same
        else moved(call, x, lambda values: values.reshape(1, *call.shapes[0][1:]))
    )
    if isinstance(labels, list):
        return labels
    target_shape, result = call.layer.target_shape, Tensor(labels, call.shapes[0])
    for axis in result.varying:  # one at most, after settling
        if target_shape[axis - 1] != -1:
            vector = call.vector(result, axis)
            call.resize("target_shape", [vector], counted(target_shape, axis - 1))
    return labels


@keras_rule("Permute")
def permute(call: Call, x: Tensor, **_: Any) -> Labels:
    """Permutes by `dims`, which counts from 1."""
    return np.transpose(x.labels, (0, *call.layer.dims))


@keras_rule("RepeatVector")
def repeat_vector(call: Call, x: Tensor, **_: Any) -> Labels:
    """Repeats (batch, channels) as (batch, n, channels)."""
    return x.labels[:, None, :]
