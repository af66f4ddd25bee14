"""The rules of tf_keras' layers that keep channels what they are, or move them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras
from tf_keras.src.engine.base_layer import AddLoss, AddMetric

from keras_spp.core.channels import Labels, Reason, Tensor
from keras_spp.core.rule import find, rule
from keras_spp.frameworks.tf_keras.labelling import (
    Call,
    as_functions,
    count,
    counted,
    merged,
    moved,
    tried,
    tried_layer,
)
from keras_spp.frameworks.tf_keras.trial import follow

L = keras.layers

ELEMENTWISE = frozenset({
    "elu", "exponential", "gelu", "hard_sigmoid", "leaky_relu", "linear", "mish", "relu", "relu6",
    "selu", "sigmoid", "silu", "softplus", "softsign", "swish", "tanh",
})  # fmt: skip
_UNITS, _PIXELS = 8, 4  # to try an activation on


def channel_axis(layer: Any) -> int:
    """The axis of the channels under the layer's data format."""
    return 1 if getattr(layer, "data_format", None) == "channels_first" else -1


def spatial(layer: Any, shape: Sequence[int | None]) -> tuple[int | None, ...]:
    """The spatial dimensions of a shape."""
    return tuple(shape[2:] if channel_axis(layer) == 1 else shape[1:-1])


def why_not_elementwise(function: Any) -> Reason | None:
    """Why an activation does not act on each unit alone; None if it does.

    It is known by name, or tried on a few units.
    """
    if is_known(function):
        return None
    units = np.arange(_UNITS)
    x = Tensor(units[None], (None, _UNITS))
    followed = follow(_functions(function), (x,), {}, [x])
    if isinstance(followed, Reason):
        return followed
    (place,) = followed.places
    same = place is not None and np.array_equal(place[1], units)
    return None if same else Reason.FUNCTION


def is_known(function: Any) -> bool:
    """Whether an activation is one that is known by its name to act on each element alone."""
    if isinstance(function, L.Layer):
        return find(type(function)) is same
    return function is None or (
        getattr(function, "__name__", "") in ELEMENTWISE
        and getattr(function, "__module__", "").startswith(("tf_keras.", "tensorflow."))
    )


def _functions(function: Any) -> list[Callable[..., Any]]:
    """What an activation computes, be it a function or a layer without weights."""
    if not isinstance(function, L.Layer):
        return [function]
    return [] if function.weights else as_functions(function)


def activated(call: Call, labels: Labels) -> Labels | list[Labels]:
    """The labels behind a layer's own activation."""
    function = call.layer.activation
    if is_known(function):
        return labels
    # It computes alike in a small picture and in a large one, but not as fast.
    shape = [
        along if along > 1 else size and min(size, _PIXELS)
        for along, size in zip(labels.shape, call.shapes[0], strict=True)
    ]
    x = Tensor(labels, (call.shapes[0][0], *shape[1:]), call.layer.compute_dtype)
    return tried(call, _functions(function), (x,), {})


# -- one value per channel -----------------------------------------------------------------------


@rule(
    L.ReLU, L.LeakyReLU, L.ELU, L.ThresholdedReLU, L.Dropout, L.SpatialDropout1D,
    L.SpatialDropout2D, L.SpatialDropout3D, L.GaussianDropout, L.GaussianNoise, L.AlphaDropout,
    L.ActivityRegularization, L.Identity,
)  # fmt: skip
def same(call: Call, x: Tensor, **_: Any) -> Labels:
    """Every element by itself."""
    noise_shape = getattr(call.layer, "noise_shape", None)
    if noise_shape is not None and any(size not in (1, None) for size in noise_shape[1:]):
        call.freeze(x.labels, Reason.SHAPE)
    if np.ndim(getattr(call.layer, "stddev", 0)):
        call.freeze(x.labels, Reason.HELD)
    return x.labels


@rule(L.Activation)
def activation(call: Call, x: Tensor, **_: Any) -> Labels | list[Labels]:
    """Elementwise unless it is a softmax or a function that cannot be followed."""
    return activated(call, x.labels)


def mixes(x: Tensor, axes: Any) -> bool:
    """Whether computing over these axes meets the batch or the channels."""
    found = {int(axis) % len(x.shape) for axis in tf.nest.flatten(axes)}
    return bool(found & {0, *(x.varying or [len(x.shape) - 1])})


@rule(L.Softmax, L.LayerNormalization, L.UnitNormalization)
def normalised(call: Call, x: Tensor, **_: Any) -> Labels | list[Labels]:
    """Over the channels, what each becomes depends on its neighbours."""
    return call.opaque([x], Reason.MIXES) if mixes(x, call.layer.axis) else x.labels


@rule(L.GroupNormalization)
def group_normalization(call: Call, x: Tensor, **_: Any) -> Labels | list[Labels]:
    """Every channel alone if there are as many groups (instance normalisation)."""
    layer = call.layer
    labels = call.vector(x, layer.axis)
    if layer.groups != len(labels):
        return call.opaque([x], Reason.MIXES)
    for variable in layer.weights:
        call.follows(variable, 0, labels)
    call.resize("groups", [labels], count)
    return call.place(labels, layer.axis)


@rule(L.Masking)
def masking(call: Call, x: Tensor, **_: Any) -> Labels:
    """Whether a time step counts is up to all of its channels, for layers that ask for masks.

    The numbers are the same without some of them if those that mark a step are zeros.
    """
    if call.layer.mask_value != 0 or _is_asked(call.layer.outbound_nodes):
        call.freeze(x.labels, Reason.MIXES)
    return x.labels


def _is_asked(nodes: Sequence[Any]) -> bool:
    """Whether a mask reaches a layer that does something with it, or cannot be seen to."""
    from keras_spp.frameworks.tf_keras.wrapper import unwrap  # which needs the rules itself

    layers = [unwrap(node.layer) for node in nodes]
    return any(
        layer._expects_mask_arg
        or isinstance(layer, keras.Model)
        or (layer.supports_masking and _is_asked(node.layer.outbound_nodes))
        for layer, node in zip(layers, nodes, strict=True)
    )


@rule(AddLoss, AddMetric)
def watched(call: Call, x: Tensor, *_: Any, **__: Any) -> Labels:
    """A loss or a metric of the model's own has to stay what it is."""
    call.freeze(x.labels, Reason.OUTPUT)
    return x.labels


@rule(L.PReLU)
def prelu(call: Call, x: Tensor, **_: Any) -> Labels:
    """A slope per channel and, unless shared, per position."""
    for axis in x.varying:
        if call.layer.alpha.shape[axis - 1] > 1:
            call.follows(call.layer.alpha, axis - 1, call.vector(x, axis))
    return x.labels


BATCH_NORMALIZATIONS = (L.BatchNormalization, L.experimental.SyncBatchNormalization)


@rule(*BATCH_NORMALIZATIONS)
def batch_normalization(call: Call, x: Tensor, **_: Any) -> Labels | list[Labels]:
    """Scale, offset and statistics per channel."""
    axes = tf.nest.flatten(call.layer.axis)
    if len(axes) > 1 or call.layer.virtual_batch_size is not None:
        return call.opaque([x], Reason.MIXES)
    labels = call.vector(x, axes[0])
    if np.ndim(call.layer.momentum):
        call.freeze(labels, Reason.HELD)
    for variable in call.layer.weights:
        if variable.shape == labels.shape:  # renormalisation adds scalars
            call.follows(variable, 0, labels)
    return call.place(labels, axes[0])


def sliced_config(call: Call, key: str, labels: Labels) -> None:
    """Cuts a per-channel constant in the config."""
    value = call.layer.get_config()[key]
    if value is not None and np.shape(value)[-1:] == labels.shape and np.size(value) > 1:
        call.resize(key, [labels], lambda keep: np.compress(keep, value, axis=-1).tolist())


@rule(L.Rescaling)
def rescaling(call: Call, x: Tensor, **_: Any) -> Labels:
    """Constants of one value, or of one per channel."""
    labels = call.vector(x)
    sliced_config(call, "scale", labels)
    sliced_config(call, "offset", labels)
    return call.place(labels)


@rule(L.Normalization)
def normalization(call: Call, x: Tensor, **_: Any) -> Labels | list[Labels]:
    """Mean and variance as weights (adapted) or as constants (given)."""
    layer, rank = call.layer, len(x.shape)
    if layer.axis not in ((), (-1,), (rank - 1,)):
        return call.opaque([x], Reason.SHAPE)
    labels = call.vector(x)
    for variable in layer.weights:
        if layer.axis and variable.shape == labels.shape:
            call.follows(variable, 0, labels)
    sliced_config(call, "mean", labels)
    sliced_config(call, "variance", labels)
    return call.place(labels)


# -- space ---------------------------------------------------------------------------------------


@rule(
    L.MaxPooling1D, L.MaxPooling2D, L.MaxPooling3D, L.AveragePooling1D, L.AveragePooling2D,
    L.AveragePooling3D, L.ZeroPadding1D, L.ZeroPadding2D, L.ZeroPadding3D, L.UpSampling1D,
    L.UpSampling2D, L.UpSampling3D, L.Resizing,
    L.CenterCrop, L.RandomCrop, L.RandomFlip, L.RandomRotation, L.RandomTranslation, L.RandomZoom,
    L.RandomHeight, L.RandomWidth, L.RandomContrast, L.RandomBrightness,
)  # fmt: skip
def in_space(call: Call, x: Tensor, **_: Any) -> Labels | list[Labels]:
    """Every channel by itself, in space."""
    axis = channel_axis(call.layer)
    if set(x.varying) - {axis % len(x.shape)}:  # channels where the layer expects space
        return tried_layer(call, (x,), {})
    return call.place(call.vector(x, axis), axis)


@rule(L.Cropping1D, L.Cropping2D, L.Cropping3D)
def cropping(call: Call, x: Tensor, **_: Any) -> Labels | list[Labels]:
    """Of channels that lie where the layer expects space, those in the middle are left."""
    first = 2 if channel_axis(call.layer) == 1 else 1
    given = call.layer.get_config()["cropping"]
    amounts = [given] if isinstance(call.layer, L.Cropping1D) else list(given)
    labels = x.labels
    for place, (before, after) in enumerate(amounts):
        axis = first + place
        if labels.shape[axis] == 1:
            continue
        vector = call.vector(x, axis)
        end = len(vector) - after
        labels = call.place(vector[before:end], axis)

        def left(head: np.ndarray, tail: np.ndarray, place: int = place) -> Any:
            pair = (count(head), count(tail))
            new = [pair if i == place else pair_ for i, pair_ in enumerate(amounts)]
            return pair if isinstance(call.layer, L.Cropping1D) else new

        call.resize("cropping", [vector[:before], vector[end:]], left)
    return labels


@rule(
    L.GlobalAveragePooling1D, L.GlobalAveragePooling2D, L.GlobalAveragePooling3D,
    L.GlobalMaxPooling1D, L.GlobalMaxPooling2D, L.GlobalMaxPooling3D,
)  # fmt: skip
def out_of_space(call: Call, x: Tensor, **_: Any) -> Labels:
    """One value per channel is left."""
    axis = channel_axis(call.layer)
    return call.place(call.vector(x, axis), 1 if len(call.shapes[0]) == 2 else axis)


# -- moving channels -----------------------------------------------------------------------------


@rule(L.Flatten)
def flatten(call: Call, x: Tensor, **_: Any) -> Labels | list[Labels]:
    """Channels last, whatever the data format."""
    first = channel_axis(call.layer) == 1 and len(x.shape) > 2
    return moved(call, x, lambda v: (np.moveaxis(v, 1, -1) if first else v).reshape(1, -1))


def regroups(x: Tensor, target: tuple[int | None, ...]) -> bool:
    """Whether a reshape moves only batch and space, however it mixes the two."""
    last = len(x.shape) - 1
    return last > 0 and len(target) > 1 and x.varying == [last] and target[-1] == x.shape[-1]


@rule(L.Reshape)
def reshape(call: Call, x: Tensor, **_: Any) -> Labels | list[Labels]:
    """`target_shape` leaves the batch out."""
    same = regroups(x, call.shapes[0])
    labels: Labels | list[Labels] = (
        call.place(call.vector(x))
        if same
        else moved(call, x, lambda values: values.reshape(1, *call.shapes[0][1:]))
    )
    if isinstance(labels, list):
        return labels
    given, result = call.layer.target_shape, Tensor(labels, call.shapes[0])
    for axis in result.varying:  # one at most, after settling
        if given[axis - 1] != -1:
            vector = call.vector(result, axis)
            call.resize("target_shape", [vector], counted(given, axis - 1))
    return labels


@rule(L.Permute)
def permute(call: Call, x: Tensor, **_: Any) -> Labels:
    """`dims` counts from 1."""
    return np.transpose(x.labels, (0, *call.layer.dims))


@rule(L.RepeatVector)
def repeat_vector(call: Call, x: Tensor, **_: Any) -> Labels:
    """(batch, channels) becomes (batch, n, channels)."""
    return x.labels[:, None, :]


# -- several inputs ------------------------------------------------------------------------------


def concatenated(call: Call, tensors: Sequence[Tensor], axis: int) -> Labels | list[Labels]:
    """Label vectors one behind the other."""
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


@rule(L.Concatenate)
def concatenate(call: Call, tensors: Sequence[Tensor], **_: Any) -> Labels | list[Labels]:
    """Any axis."""
    return concatenated(call, tensors, call.layer.axis)


rule(L.Add, L.Subtract, L.Multiply, L.Average, L.Maximum, L.Minimum)(merged)
