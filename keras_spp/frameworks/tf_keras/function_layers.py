"""Layers in place of functions with a kernel, such as `tf.nn.conv2d(x, kernel)`.

A kernel that is an argument of a function can be neither masked nor trained. Models have such
kernels if they are written with functions, or contain a layer of Keras 3 (KerasCV's VGG16).
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


def variables_in_calls(layer: keras.layers.Layer) -> list[tf.Variable]:
    """Returns the variables with which a function is called."""
    if not isinstance(layer, TFOpLambda):
        return []
    calls = [(node.call_args, node.call_kwargs) for node in layer.inbound_nodes]
    return [value for value in tf.nest.flatten(calls) if isinstance(value, tf.Variable)]


def as_layer(
    layer: keras.layers.Layer, owned: Container[int] = ()
) -> tuple[keras.layers.Layer, np.ndarray] | None:
    """Returns the layer that is equivalent to a function, and its kernel; None without one.

    A variable becomes a trainable kernel, a constant a frozen one. A weight of another layer, whose
    ids are in `owned`, stays that layer's.
    """
    if type(layer) is not TFOpLambda or len(layer.inbound_nodes) != 1:
        return None
    name, node = layer.get_config()["function"], layer.inbound_nodes[0]
    if name not in _CONVOLUTIONS | _TRANSPOSED | _DEPTHWISE | _PRODUCTS:
        return None
    arguments = _arguments(layer, node.call_args, node.call_kwargs)
    x = _pop(arguments, _INPUTS)
    weight = _pop(arguments, ("filters", "filter", "b"))
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
        plain = kernel.ndim == 2 and not any(v for key, v in arguments.items() if key != "name")
        return (L.Dense(kernel.shape[1], **common), kernel) if plain else None
    dimensions = kernel.ndim - 2
    padding = arguments.get("padding", "SAME")  # a convolution requires one
    strides = _spatial(arguments.get("strides", arguments.get("stride")), dimensions)
    dilations = arguments.get("dilations", arguments.get("dilation_rate", arguments.get("rate")))
    dilations = _spatial(dilations, dimensions)
    if not isinstance(padding, str) or strides is None or dilations is None:
        return None
    if str(arguments.get("data_format") or "N").startswith("NC"):
        return None
    common |= {"strides": strides, "dilation_rate": dilations, "padding": padding.lower()}
    size = kernel.shape[:dimensions]
    if name in _TRANSPOSED:
        extra = _output_padding(x.shape, node.outputs.shape, size, strides, common["padding"])
        if extra is None or set(dilations) != {1}:
            return None
        transposed = {1: L.Conv1DTranspose, 2: L.Conv2DTranspose, 3: L.Conv3DTranspose}
        common["output_padding"] = extra or None
        return transposed[dimensions](kernel.shape[-2], size, **common), kernel
    if name in _DEPTHWISE:
        return L.DepthwiseConv2D(size, depth_multiplier=kernel.shape[-1], **common), kernel
    kind = {1: L.Conv1D, 2: L.Conv2D, 3: L.Conv3D}[dimensions]
    groups = x.shape[-1] // kernel.shape[-2]
    return kind(kernel.shape[-1], size, groups=groups, **common), kernel


def input_of(layer: TFOpLambda, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Returns the input among the arguments of a function with a kernel."""
    return _pop(_arguments(layer, args, kwargs), _INPUTS)


_INPUTS = ("input", "value", "a")


def _arguments(layer: TFOpLambda, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    return inspect.signature(layer.function).bind(*args, **kwargs).arguments


def _pop(arguments: dict[str, Any], names: Sequence[str]) -> Any:
    """Removes the arguments of these names and returns the first that is there."""
    values = [arguments.pop(name, None) for name in names]
    return next((value for value in values if value is not None), None)


def _output_padding(
    input_shape: Sequence[int | None],
    output_shape: Sequence[int | None],
    kernel: Sequence[int],
    strides: Sequence[int],
    padding: str,
) -> tuple[int, ...] | None:
    """Returns the output padding for an output's size: () for the default, None if none fits."""
    extra, is_default = [], True
    for size, out_size, window, stride in zip(
        input_shape[1:-1], output_shape[1:-1], kernel, strides, strict=True
    ):
        if size is None or out_size is None:
            return None
        default = size * stride + (max(window - stride, 0) if padding == "valid" else 0)
        is_default &= out_size == default
        cut = 2 * (window // 2) if padding == "same" else 0
        extra.append(out_size - ((size - 1) * stride + window - cut))
    if is_default:
        return ()
    fits = all(0 <= amount < stride for amount, stride in zip(extra, strides, strict=True))
    return tuple(extra) if fits else None


def is_frozen(layer: keras.layers.Layer) -> bool:
    """Tells whether the user has set `trainable` to False, unlike for a constant kernel."""
    return not layer.trainable and not layer.name.startswith("tf.")  # as Keras names functions


def _spatial(value: Any, dimensions: int) -> tuple[int, ...] | None:
    """Returns strides or dilations in space, from any of the forms that TensorFlow takes."""
    if value is None:
        return (1,) * dimensions
    values = tuple(int(v) for v in value) if isinstance(value, Sequence) else (int(value),)
    if len(values) == 1:
        return values * dimensions
    if len(values) == dimensions + 2 and values[0] == values[-1] == 1:
        return values[1:-1]
    return values if len(values) == dimensions else None
