"""Rules for TensorFlow functions called on Keras tensors (the TFOpLambda layers): arithmetic.

Those that move values are in `keras_spp.frameworks.tf_keras.op_rules.moves`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from tf_keras.src.layers.core.tf_op_layer import SlicingOpLambda, TFOpLambda

from keras_spp.core.channels import Argument, Reason, Tensor
from keras_spp.core.rule import rule
from keras_spp.frameworks.tf_keras.labelling import Call, Refused, followed, merged, tensors_in
from keras_spp.frameworks.tf_keras.sizes import counts_channels
from keras_spp.rules.channelwise import mixes

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
SIZES = frozenset({"compat.v1.shape", "compat.v1.size", "rank", "shape", "size"})
# Mixes channels only where their norm is large: not seen by trying.
MIXING = frozenset({"clip_by_norm", "compat.v1.clip_by_average_norm", "clip_by_global_norm"})


def function(*names: str) -> Callable:
    """Registers the rule of a function under the names that TFOpLambda configs use."""

    def register(body: Callable[[Call, Arguments], Any]) -> Callable:
        _FUNCTIONS.update(dict.fromkeys(names, body))
        return body

    return register


@rule(TFOpLambda, SlicingOpLambda)
def op(call: Call, *args: Any, **kwargs: Any) -> Any:
    """Looks the function up by its name; what has no rule, or is refused by it, is tried."""
    name = call.layer.get_config()["function"]
    flat = tf.nest.flatten((args, kwargs))
    for value in flat:
        if isinstance(value, tf.Variable):
            call.channels.give(call.layer, value)
    tensors = [value for value in flat if isinstance(value, Tensor)]
    sizes = [x for x in tensors if x.made_of is not None]
    compute = _getitem if isinstance(call.layer, SlicingOpLambda) else call.layer.function
    if name in SIZES or (sizes and len(sizes) == len(tensors)):
        return call.deferred(compute, args, kwargs)
    given = tensors_in(args, kwargs)
    if sizes:  # the function itself knows best what becomes of them
        labels = followed(call, [compute], args, kwargs)
        if not isinstance(labels, Reason):
            return labels
        if any(map(counts_channels, sizes)):
            return call.opaque(given, labels)
    plain = not any(map(_is_array, (*args[1:], *kwargs.values())))
    if name in UNARY and plain and len(given) == 1 and args and given[0] is args[0]:
        return given[0].labels
    if name in MIXING:
        return call.opaque(given, Reason.MIXES)
    edits = len(call.channels.edits)
    try:
        return _by_rule(call, name, args, kwargs)
    except Exception as error:  # a form of the arguments that the rule does not know
        if len(call.channels.edits) > edits:
            raise
        call.channels.leave_to_measure(call.layer)
        labels = followed(call, [compute], args, kwargs)
        if not isinstance(labels, Reason):
            return labels
        if isinstance(error, Refused):
            return call.opaque(given, labels if labels is Reason.MIXES else error.reason)
        if labels is Reason.FUNCTION:
            raise
        return call.opaque(given, labels)


def _by_rule(call: Call, name: str, args: tuple, kwargs: dict[str, Any]) -> Any:
    if name in POSITIONWISE and kwargs.get("data_format") in (None, "NHWC"):
        names = [*range(len(args)), *kwargs]
        return positionwise(call, dict(zip(names, [*args, *kwargs.values()], strict=True)))
    body = _FUNCTIONS.get(name)
    if body is None:
        raise Refused(Reason.FUNCTION)
    # Keyed as `rebuild` will have to find them: by position or by name, as they were given.
    bound = inspect.signature(call.layer.function).bind(*args, **kwargs).arguments
    arguments = {**bound, "#": {name: i for i, name in enumerate(bound) if i < len(args)}}
    return body(call, arguments)


def as_slices(spec: Any) -> tuple:
    """What stands between the brackets, as numpy takes it."""
    items = spec if isinstance(spec, tuple | list) else [spec]
    return tuple(
        slice(item["start"], item["stop"], item["step"]) if isinstance(item, dict) else item
        for item in items
    )


def without_dots(spec: Any, rank: int) -> list[Any]:
    """The same items with one for every axis of a tensor, and no `...` any more."""
    items = list(spec) if isinstance(spec, tuple | list) else [spec]
    if not any(item is ... for item in items):
        items.append(...)
    at = next(place for place, item in enumerate(items) if item is ...)
    missing = rank - sum(item is not None and item is not ... for item in items)
    items[at : at + 1] = [dict(start=None, stop=None, step=None)] * missing
    return items


def _getitem(tensor: Any, slice_spec: Any) -> Any:
    """As the layer of brackets calls it: slices are dicts in its arguments."""
    return tensor[as_slices(slice_spec)]


def _is_array(value: Any) -> bool:
    return isinstance(value, list | tuple | np.ndarray) or bool(np.ndim(value))


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
            raise Refused(Reason.SHAPE)
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
        raise Refused(Reason.MIXES)
    axes = tuple({int(a) % len(x.shape) for a in tf.nest.flatten(axis)})
    return x.labels if arguments.get("keepdims") else np.squeeze(x.labels, axes)


@function("nn.softmax", "nn.log_softmax", "math.l2_normalize")
def normalised(call: Call, arguments: Arguments) -> Any:
    """The same for what keeps the shape."""
    (x,) = tensors_in(arguments)
    axis = arguments.get("axis")
    if axis is None:  # the last one for a softmax, and all of them for a norm
        axis = -1 if "softmax" in call.layer.get_config()["function"] else range(len(x.shape))
    if mixes(x, list(np.ravel(axis))):
        raise Refused(Reason.MIXES)
    return x.labels


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
        raise Refused(Reason.SHAPE)
    return call.place(call.vector(x))


@function("nn.dropout", "compat.v1.nn.dropout", "nn.experimental.stateless_dropout")
def dropout(call: Call, arguments: Arguments) -> Any:
    """Every element by itself, or several alike."""
    x, noise_shape = arguments["x"], arguments.get("noise_shape")
    if noise_shape is not None and any(size not in (1, None) for size in list(noise_shape)[1:]):
        raise Refused(Reason.SHAPE)
    return x.labels
