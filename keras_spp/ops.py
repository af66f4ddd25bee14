"""Rules for TensorFlow functions called on Keras tensors (the TFOpLambda layers): arithmetic.

Those that move values are in `keras_spp.moving_ops`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from tf_keras.src.layers.core.tf_op_layer import SlicingOpLambda, TFOpLambda

from keras_spp.channels import Argument, Reason, Tensor
from keras_spp.layer_rules import merged, mixes
from keras_spp.rules import Call, rule, tensors_in

Arguments = dict[str, Any]  # plus "#": the positions of those given by position
_FUNCTIONS: dict[str, Callable[[Call, Arguments], Any]] = {}

UNARY = frozenset({
    "cast", "compat.v1.nn.leaky_relu", "convert_to_tensor", "identity", "math.abs",
    "math.ceil", "math.cos", "math.erf", "math.exp", "math.floor", "math.log", "math.log1p",
    "math.negative", "math.reciprocal", "math.round", "math.rsqrt", "math.sigmoid",
    "math.sign", "math.sin", "math.softplus", "math.sqrt", "math.square", "math.tanh", "nn.elu",
    "nn.gelu", "nn.leaky_relu", "nn.relu", "nn.relu6", "nn.selu", "nn.sigmoid", "nn.silu",
    "nn.softplus", "nn.softsign", "nn.swish", "nn.tanh", "ones_like", "stop_gradient",
    "zeros_like",
})  # fmt: skip
POSITIONWISE = frozenset({
    "__operators__.add", "clip_by_value", "compat.v1.div", "compat.v1.floor_div", "math.add",
    "math.divide", "math.divide_no_nan", "math.equal", "math.floordiv", "math.floormod",
    "math.greater", "math.greater_equal", "math.less", "math.less_equal", "math.maximum",
    "math.minimum",
    "math.mod", "math.multiply", "math.not_equal", "math.pow", "math.squared_difference",
    "math.subtract", "math.truediv", "nn.bias_add", "where",
})  # fmt: skip
MIXING = frozenset({
    "compat.v1.norm", "einsum", "linalg.matmul", "math.argmax", "math.cumsum", "math.top_k",
    "nn.local_response_normalization", "tensordot",
})  # fmt: skip


def function(*names: str) -> Callable:
    """Registers the rule of a function under the names that TFOpLambda configs use."""

    def register(body: Callable[[Call, Arguments], Any]) -> Callable:
        _FUNCTIONS.update(dict.fromkeys(names, body))
        return body

    return register


@rule(TFOpLambda, SlicingOpLambda)
def op(call: Call, *args: Any, **kwargs: Any) -> Any:
    """Looks the function up by its name; an unknown one freezes what it touches."""
    name = call.layer.get_config()["function"]
    given = tensors_in(args, kwargs)
    for value in tf.nest.flatten((args, kwargs)):
        if isinstance(value, tf.Variable):
            call.channels.give(call.layer, value)
    constants = [v for v in (*args[1:], *kwargs.values()) if isinstance(v, list) or np.ndim(v)]
    if name in UNARY and not constants and list(args[:1]) == given:
        return given[0].labels
    if name in POSITIONWISE and kwargs.get("data_format") in (None, "NHWC"):
        names = [*range(len(args)), *kwargs]
        return positionwise(call, dict(zip(names, [*args, *kwargs.values()], strict=True)))
    body = _FUNCTIONS.get(name)
    if body is None:
        call.channels.leave_to_measure(call.layer)
        return call.opaque(given, Reason.MIXES if name in MIXING else Reason.UNKNOWN)
    # Keyed as `rebuild` will have to find them: by position or by name, as they were given.
    bound = inspect.signature(call.layer.function).bind(*args, **kwargs).arguments
    arguments = {**bound, "#": {name: i for i, name in enumerate(bound) if i < len(args)}}
    return body(call, arguments)


def key(arguments: Arguments, name: str, entry: int | None = None) -> Argument:
    """Where an argument, or an entry of it, stands in the call: its position, or its name."""
    return Argument(arguments["#"].get(name, name), entry)


def positionwise(call: Call, operands: dict[str | int, Any]) -> Any:
    """Arithmetic between tensors, or with constants that may hold one value per channel."""
    tensors = [value for value in operands.values() if isinstance(value, Tensor)]
    labels = merged(call, tensors)
    if isinstance(labels, list):
        return labels
    result = Tensor(labels, call.shapes[0])
    for name, value in operands.items():
        if isinstance(value, Tensor) or not np.shape(value):
            continue
        for axis in result.varying:
            own = axis - len(result.shape)  # constants broadcast from the right
            if np.ndim(value) < -own or np.shape(value)[own] == 1:
                continue
            call.resize(
                Argument(name),
                [call.vector(result, axis)],
                lambda keep, c=value, a=own: np.compress(keep, np.asarray(c), axis=a),
            )
        if any(x.shape != result.shape for x in tensors):  # a constant that widens the tensor
            return call.opaque([*tensors, result], Reason.SHAPE)
    return labels


@function(
    "math.reduce_mean", "math.reduce_sum", "math.reduce_max", "math.reduce_min",
    "math.reduce_variance", "math.reduce_std", "math.reduce_logsumexp", "math.reduce_prod",
    "math.reduce_any", "math.reduce_all",
)  # fmt: skip
def reduce(call: Call, arguments: Arguments) -> Any:
    """Over space the channels stay what they are; over channels they are mixed."""
    x, axis = arguments["input_tensor"], arguments.get("axis")
    if axis is None or mixes(x, axis):
        return call.opaque([x], Reason.MIXES)
    axes = tuple({int(a) % len(x.shape) for a in tf.nest.flatten(axis)})
    return x.labels if arguments.get("keepdims") else np.squeeze(x.labels, axes)


@function("nn.softmax", "nn.log_softmax", "math.l2_normalize")
def normalised(call: Call, arguments: Arguments) -> Any:
    """The same for what keeps the shape."""
    (x,) = tensors_in(arguments)
    axis = arguments.get("axis")
    if axis is None:  # the last one for a softmax, and all of them for a norm
        axis = -1 if "softmax" in call.layer.get_config()["function"] else range(len(x.shape))
    return call.opaque([x], Reason.MIXES) if mixes(x, list(np.ravel(axis))) else x.labels


@function("math.add_n")
def add_n(call: Call, arguments: Arguments) -> Any:
    """A sum of any number."""
    return merged(call, tensors_in(arguments["inputs"]))


@function(
    "nn.max_pool", "nn.max_pool1d", "nn.max_pool2d", "nn.max_pool3d", "nn.avg_pool",
    "nn.avg_pool1d", "nn.avg_pool2d", "nn.avg_pool3d", "compat.v1.nn.max_pool",
    "compat.v1.nn.avg_pool", "image.resize", "compat.v1.image.resize",
)  # fmt: skip
def in_space(call: Call, arguments: Arguments) -> Any:
    """Every channel by itself, unless the window reaches over channels too."""
    x, *_ = tensors_in(arguments)  # a size in pixels may be a tensor too
    windows = [np.ravel(arguments.get(name, 1)) for name in ("ksize", "strides")]
    deep = any(len(window) == len(x.shape) and window[-1] > 1 for window in windows)
    if deep or str(arguments.get("data_format") or "N").startswith("NC"):
        return call.opaque([x], Reason.SHAPE)
    return call.place(call.vector(x))
