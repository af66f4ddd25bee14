"""Functions that are given a kernel, like `tf.nn.conv2d(x, kernel)`, become the layers they are.

A kernel that is an argument of a function can be neither masked nor trained. So it is in models
written with functions, and in those into which a layer of Keras 3 has strayed (KerasCV's VGG16).
"""

from __future__ import annotations

import inspect
from collections.abc import Container, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_spp.frameworks.tf_keras.private import KerasTensor, TFOpLambda

L = keras.layers
_CONVOLUTIONS = frozenset({
    "compat.v1.nn.conv1d", "compat.v1.nn.conv2d", "compat.v1.nn.conv3d",
    "compat.v1.nn.convolution", "nn.conv1d", "nn.conv2d", "nn.conv3d", "nn.convolution",
})  # fmt: skip
_TRANSPOSED = frozenset({
    "compat.v1.nn.conv2d_transpose", "compat.v1.nn.conv3d_transpose", "nn.conv1d_transpose",
    "nn.conv2d_transpose", "nn.conv3d_transpose", "nn.conv_transpose",
})  # fmt: skip
_DEPTHWISE = frozenset({"compat.v1.nn.depthwise_conv2d", "nn.depthwise_conv2d"})
_PRODUCTS = frozenset({"linalg.matmul"})


def weights_given(layer: keras.layers.Layer) -> list[tf.Variable]:
    """The variables that a function is called with."""
    if not isinstance(layer, TFOpLambda):
        return []
    calls = [(node.call_args, node.call_kwargs) for node in layer.inbound_nodes]
    return [value for value in tf.nest.flatten(calls) if isinstance(value, tf.Variable)]


def as_layer(
    layer: keras.layers.Layer, owned: Container[int] = ()
) -> tuple[keras.layers.Layer, np.ndarray] | None:
    """The layer that a function call amounts to, and its kernel; None if there is none.

    The kernel can be trained if it was a variable, and is a constant if it was one. If it is
    the weight of a layer, one of the ids in `owned`, it stays that.
    """
    if type(layer) is not TFOpLambda or len(layer.inbound_nodes) != 1:
        return None
    name, node = layer.get_config()["function"], layer.inbound_nodes[0]
    if name not in _CONVOLUTIONS | _TRANSPOSED | _DEPTHWISE | _PRODUCTS:
        return None
    given = _arguments(layer, node.call_args, node.call_kwargs)
    x = _popped(given, _INPUTS)
    weight = _popped(given, ("filters", "filter", "b"))
    if not isinstance(x, KerasTensor) or weight is None or isinstance(weight, KerasTensor):
        return None
    if id(weight) in owned:
        return None
    kernel = np.asarray(weight)
    common = {
        "name": layer.name,
        "use_bias": False,
        "trainable": getattr(weight, "trainable", False),
        "dtype": layer.dtype_policy,
    }
    if name in _PRODUCTS:
        plain = kernel.ndim == 2 and not any(v for key, v in given.items() if key != "name")
        return (L.Dense(kernel.shape[1], **common), kernel) if plain else None
    dimensions = kernel.ndim - 2
    padding = given.get("padding", "SAME")  # a convolution has to be given one
    strides = _spatial(given.get("strides", given.get("stride")), dimensions)
    dilations = given.get("dilations", given.get("dilation_rate", given.get("rate")))
    dilations = _spatial(dilations, dimensions)
    if not isinstance(padding, str) or strides is None or dilations is None:
        return None
    if str(given.get("data_format") or "N").startswith("NC"):
        return None
    common |= {"strides": strides, "dilation_rate": dilations, "padding": padding.lower()}
    size = kernel.shape[:dimensions]
    if name in _TRANSPOSED:
        beyond = _output_padding(x.shape, node.outputs.shape, size, strides, common["padding"])
        if beyond is None or set(dilations) != {1}:
            return None
        transposed = {1: L.Conv1DTranspose, 2: L.Conv2DTranspose, 3: L.Conv3DTranspose}
        common["output_padding"] = beyond or None
        return transposed[dimensions](kernel.shape[-2], size, **common), kernel
    if name in _DEPTHWISE:
        return L.DepthwiseConv2D(size, depth_multiplier=kernel.shape[-1], **common), kernel
    kind = {1: L.Conv1D, 2: L.Conv2D, 3: L.Conv3D}[dimensions]
    groups = x.shape[-1] // kernel.shape[-2]
    return kind(kernel.shape[-1], size, groups=groups, **common), kernel


def input_of(layer: TFOpLambda, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Which of the arguments of a function with a kernel is the input."""
    return _popped(_arguments(layer, args, kwargs), _INPUTS)


_INPUTS = ("input", "value", "a")


def _arguments(layer: TFOpLambda, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    return inspect.signature(layer.function).bind(*args, **kwargs).arguments


def _popped(arguments: dict[str, Any], names: Sequence[str]) -> Any:
    """The first argument of one of these names that is given."""
    found = [arguments.pop(name, None) for name in names]
    return next((value for value in found if value is not None), None)


def _output_padding(
    given: Sequence[int | None],
    made: Sequence[int | None],
    kernel: Sequence[int],
    strides: Sequence[int],
    padding: str,
) -> tuple[int, ...] | None:
    """With what a layer makes an image of the same size: () for nothing, None if there is none."""
    beyond, as_usual = [], True
    for x, out, window, stride in zip(given[1:-1], made[1:-1], kernel, strides, strict=True):
        if x is None or out is None:
            return None
        usual = x * stride + (max(window - stride, 0) if padding == "valid" else 0)
        as_usual &= out == usual
        cut = 2 * (window // 2) if padding == "same" else 0
        beyond.append(out - ((x - 1) * stride + window - cut))
    if as_usual:
        return ()
    fits = all(0 <= more < stride for more, stride in zip(beyond, strides, strict=True))
    return tuple(beyond) if fits else None


def is_frozen(layer: keras.layers.Layer) -> bool:
    """Whether someone has set a layer's `trainable` to False; no one has for a constant kernel."""
    return not layer.trainable and not layer.name.startswith("tf.")  # as Keras calls functions


def _spatial(value: Any, dimensions: int) -> tuple[int, ...] | None:
    """Strides or dilations in space, from any of the forms that TensorFlow takes."""
    if value is None:
        return (1,) * dimensions
    values = tuple(int(v) for v in value) if isinstance(value, Sequence) else (int(value),)
    if len(values) == 1:
        return values * dimensions
    if len(values) == dimensions + 2 and values[0] == values[-1] == 1:
        return values[1:-1]
    return values if len(values) == dimensions else None
