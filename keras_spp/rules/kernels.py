"""Rules of layers with kernels, which read channels and make new ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_spp.core.call import Call
from keras_spp.core.channels import Labels, Reason, Tensor
from keras_spp.core.common_rules import count
from keras_spp.core.rule import keras_rule
from keras_spp.rules.activations import activated
from keras_spp.rules.channelwise import channel_axis, spatial


def fold(call: Call, labels: Labels, groups: int) -> Labels:
    """Ties the groups of a grouped convolution, so that each keeps the same positions."""
    rows = labels.reshape(groups, -1)
    call.channels.tie(np.broadcast_to(rows[0], rows[1:].shape), rows[1:])
    return rows[0]


@keras_rule("Conv1D", "Conv2D", "Conv3D")
def convolution(call: Call, x: Tensor, **_: Any) -> Labels | list[Labels]:
    """Records a kernel (..., in / groups, out)."""
    layer, axis = call.layer, channel_axis(call.layer)
    if axis == 1 and len(x.shape) > layer.rank + 2:  # channels between two kinds of batch and space
        return call.opaque([x], Reason.SHAPE)
    labels = call.vector(x, axis)
    if layer.groups == len(labels) > 1:  # depthwise in disguise: each output has one input
        out = np.repeat(labels, layer.filters // layer.groups)
        call.follows(layer.kernel, -1, out)
        call.resize("groups", [labels], count)
    else:
        out = call.writes(layer.kernel, -1)
        if layer.groups > 1:
            labels = fold(call, labels, layer.groups)
            fold(call, out, layer.groups)
        call.reads(layer.kernel, -2, labels)
    call.follows(layer.bias, 0, out)
    call.resize("filters", [out], count)
    call.costs(layer.kernel, spatial(layer, call.shapes[0]))
    return activated(call, call.place(out, axis))


@keras_rule("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose")
def transposed_convolution(call: Call, x: Tensor, **_: Any) -> Labels | list[Labels]:
    """Records a kernel (..., out, in), by which every input position is multiplied as a whole."""
    layer, axis = call.layer, channel_axis(call.layer)
    call.reads(layer.kernel, -1, call.vector(x, axis))
    out = call.writes(layer.kernel, -2)
    call.follows(layer.bias, 0, out)
    call.resize("filters", [out], count)
    call.costs(layer.kernel, spatial(layer, x.shape))
    return activated(call, call.place(out, axis))


def depthwise_kernel(layer: Any) -> Any:
    """Returns the kernel of a depthwise layer, under the name that its Keras has for it."""
    return layer.depthwise_kernel if hasattr(layer, "depthwise_kernel") else layer.kernel


@keras_rule("DepthwiseConv1D", "DepthwiseConv2D")
def depthwise_convolution(call: Call, x: Tensor, **_: Any) -> Labels | list[Labels]:
    """Records a kernel (..., in, multiplier): every channel makes its own outputs."""
    layer, axis, kernel = call.layer, channel_axis(call.layer), depthwise_kernel(call.layer)
    labels = call.vector(x, axis)
    out = np.repeat(labels, layer.depth_multiplier)
    call.follows(kernel, -2, labels)
    call.follows(layer.bias, 0, out)
    call.costs(kernel, spatial(layer, call.shapes[0]))
    return activated(call, call.place(out, axis))


@keras_rule("SeparableConv1D", "SeparableConv2D")
def separable_convolution(call: Call, x: Tensor, **_: Any) -> Labels | list[Labels]:
    """Records a depthwise kernel (..., in, multiplier) and one (..., in * multiplier, out)."""
    layer, axis = call.layer, channel_axis(call.layer)
    labels = call.vector(x, axis)
    call.follows(layer.depthwise_kernel, -2, labels)
    call.reads(layer.pointwise_kernel, -2, np.repeat(labels, layer.depth_multiplier))
    out = call.writes(layer.pointwise_kernel, -1)
    call.follows(layer.bias, 0, out)
    call.resize("filters", [out], count)
    for kernel in (layer.depthwise_kernel, layer.pointwise_kernel):
        call.costs(kernel, spatial(layer, call.shapes[0]))
    return activated(call, call.place(out, axis))


@keras_rule("Dense")
def dense(call: Call, x: Tensor, **_: Any) -> Labels | list[Labels]:
    """Records a kernel (in, out) that is applied to the last axis."""
    layer = call.layer
    call.reads(layer.kernel, 0, call.vector(x))
    out = call.writes(layer.kernel, 1)
    call.follows(layer.bias, 0, out)
    call.resize("units", [out], count)
    call.costs(layer.kernel, call.shapes[0][1:-1])
    return activated(call, call.place(out))


@keras_rule("LocallyConnected1D", "LocallyConnected2D")
def locally_connected(call: Call, x: Tensor, **_: Any) -> Labels | list[Labels]:
    """Records a kernel for every position: (positions, window * in, out)."""
    layer = call.layer
    if layer.implementation != 1 or channel_axis(layer) == 1:
        return call.opaque([x], Reason.UNKNOWN)
    labels = call.vector(x)
    call.reads(layer.kernel, 1, np.tile(labels, layer.kernel.shape[1] // len(labels)))
    out = call.writes(layer.kernel, 2)
    if layer.use_bias:
        call.follows(layer.bias, -1, out)
    call.resize("filters", [out], count)
    call.costs(layer.kernel, ())
    return activated(call, call.place(out))
