"""Rules for TensorFlow functions called on Keras tensors (the TFOpLambda layers).

Functions that only move values are run on the labels themselves; what remains to be said for
each is which of its constant arguments hold a number of channels.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from tf_keras.src.layers.core.tf_op_layer import SlicingOpLambda, TFOpLambda

from keras_spp.channels import Argument, Reason, Tensor
from keras_spp.layer_rules import concatenated, full, merged, new_shape
from keras_spp.rules import Call, count, rule, tensors_in

Arguments = dict[str, Any]  # plus "#": the positions of those given by position
_FUNCTIONS: dict[str, Callable[[Call, Arguments], Any]] = {}

UNARY = frozenset({
    "cast", "clip_by_value", "compat.v1.nn.leaky_relu", "convert_to_tensor", "identity", "math.abs",
    "math.ceil",
    "math.cos", "math.erf", "math.exp", "math.floor", "math.log", "math.log1p", "math.negative",
    "math.pow", "math.reciprocal", "math.rsqrt", "math.sigmoid", "math.sign", "math.sin",
    "math.softplus", "math.sqrt", "math.square", "math.tanh", "nn.elu", "nn.gelu",
    "nn.leaky_relu", "nn.relu", "nn.relu6", "nn.selu", "nn.sigmoid", "nn.silu", "nn.softplus",
    "nn.softsign", "nn.swish", "nn.tanh", "stop_gradient",
})  # fmt: skip
BINARY = frozenset({
    "__operators__.add", "compat.v1.div", "math.add", "math.divide", "math.divide_no_nan",
    "math.maximum", "math.minimum", "math.multiply", "math.squared_difference", "math.subtract",
    "math.truediv",
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
    constants = [value for value in tf.nest.flatten((args[1:], kwargs)) if np.ndim(value)]
    if name in UNARY and not constants and list(args[:1]) == given:
        return given[0].labels
    if name in BINARY:
        names = [*range(len(args)), *kwargs]
        return binary(call, dict(zip(names, [*args, *kwargs.values()], strict=True)))
    body = _FUNCTIONS.get(name)
    if body is None:
        return call.opaque(given, Reason.UNKNOWN)
    # Keyed as `rebuild` will have to find them: by position or by name, as they were given.
    bound = inspect.signature(call.layer.function).bind(*args, **kwargs).arguments
    arguments = {**bound, "#": {name: i for i, name in enumerate(bound) if i < len(args)}}
    return body(call, arguments)


def key(arguments: Arguments, name: str) -> Argument:
    """Where an argument stands in the call: its position, or its name."""
    return Argument(arguments["#"].get(name, name))


def binary(call: Call, operands: dict[str | int, Any]) -> Any:
    """Arithmetic between tensors, or of a tensor with a constant that may hold one per channel."""
    tensors = [value for value in operands.values() if isinstance(value, Tensor)]
    labels = merged(call, tensors)
    if isinstance(labels, list):
        return labels
    result = Tensor(labels, call.shapes[0])
    for name, value in operands.items():
        if isinstance(value, Tensor) or not np.shape(value):
            continue
        if isinstance(value, tf.Variable):
            return call.opaque([*tensors, result], Reason.UNKNOWN)
        for axis in result.varying:
            own = axis - len(result.shape)  # constants broadcast from the right
            if np.ndim(value) < -own or np.shape(value)[own] == 1:
                continue
            constant = np.asarray(value)
            call.resize(
                Argument(name),
                [call.vector(result, axis)],
                lambda keep, c=constant, a=own: np.compress(keep, c, axis=a),
            )
        if any(x.shape != result.shape for x in tensors):  # a constant that widens the tensor
            return call.opaque([*tensors, result], Reason.SHAPE)
    return labels


def moved_by(call: Call, x: Tensor, arguments: Arguments, name: str) -> list[np.ndarray] | None:
    """Runs the function itself on the labels of one sample."""
    labels = full(x)
    if labels is None:
        return None
    plain = {k: v for k, v in arguments.items() if k != "#"}
    results = call.layer.function(**{**plain, name: tf.constant(labels, tf.int64)})
    values = [result.numpy() for result in tf.nest.flatten(results)]
    if [value.ndim for value in values] != [len(shape) for shape in call.shapes]:
        return None  # a squeeze that took the single sample's batch axis
    return [call.channels.settle(value) for value in values]


@function("concat")
def concat(call: Call, arguments: Arguments) -> Any:
    """Concatenation along a constant axis."""
    values = arguments["values"]
    if not all(isinstance(value, Tensor) for value in values):
        return call.opaque(tensors_in(values), Reason.SHAPE)
    return concatenated(call, values, int(arguments["axis"]))


@function("reshape")
def reshape(call: Call, arguments: Arguments) -> Any:
    """The target shape is rewritten when it is constant and keeps the batch axis."""
    x, shape = arguments["tensor"], arguments["shape"]
    if tensors_in(shape) or not isinstance(x, Tensor) or call.shapes[0][0] is not None:
        return call.opaque(tensors_in(x, shape), Reason.SHAPE)
    given = [int(size) for size in np.asarray(shape)]
    moved = moved_by(call, x, arguments, "tensor")
    if moved is None or None in call.shapes[0][1:] or moved[0].shape[0] > 1:
        return call.opaque([x], Reason.SHAPE)
    new_shape(call, key(arguments, "shape"), given, moved[0])
    return moved[0]


@function("transpose", "compat.v1.transpose")
def transpose(call: Call, arguments: Arguments) -> Any:
    """The batch has to stay in front."""
    (x,) = tensors_in(arguments)
    name = "a" if "a" in arguments else "x"
    perm = arguments.get("perm")
    if perm is None or perm[0] != 0 or arguments.get(name) is not x:
        return call.opaque([x], Reason.SHAPE)
    return np.transpose(x.labels, [int(axis) for axis in perm])


@function("pad", "compat.v1.pad")
def pad(call: Call, arguments: Arguments) -> Any:
    """Constant channels are new channels, made by the padding; in space nothing changes."""
    x, paddings = arguments["tensor"], arguments["paddings"]
    mode = str(arguments.get("mode", "CONSTANT")).upper()
    if tensors_in(paddings):
        return call.opaque(tensors_in(x, paddings), Reason.SHAPE)
    amounts = np.asarray(paddings).tolist()
    labels = x.labels
    for axis, (before, after) in enumerate(amounts):
        channelled = labels.shape[axis] > 1 or axis == len(amounts) - 1
        if not (before or after) or not channelled:
            continue
        vector = call.vector(x, axis)
        if mode != "CONSTANT" or axis == 0 or x.shape[axis] is None:
            return call.opaque([x], Reason.SHAPE)
        head, tail = call.channels.new(before), call.channels.new(after)
        labels = call.place(np.concatenate([head, vector, tail]), axis)
        call.resize(
            key(arguments, "paddings"),
            [head, tail],
            lambda first, last, at=axis: [
                [count(first), count(last)] if i == at else pair for i, pair in enumerate(amounts)
            ],
        )
    return labels


@function("split")
def split(call: Call, arguments: Arguments) -> Any:
    """Equal parts or a list of sizes; the sizes are rewritten."""
    x, sizes, axis = arguments["value"], arguments["num_or_size_splits"], arguments.get("axis", 0)
    if tensors_in(sizes, axis) or (moved := moved_by(call, x, arguments, "value")) is None:
        return call.opaque([x], Reason.SHAPE)
    axis = int(axis) % len(x.shape)
    if x.labels.shape[axis] > 1:
        parts = [
            call.vector(Tensor(labels, shape), axis)
            for labels, shape in zip(moved, call.shapes, strict=True)
        ]
        call.resize(
            key(arguments, "num_or_size_splits"), parts, lambda *keeps: [count(k) for k in keeps]
        )
    return moved


@function("__operators__.getitem")
def getitem(call: Call, arguments: Arguments) -> Any:
    """Slices; a contiguous slice of the channels gets new ends, anything else freezes them."""
    x, spec = arguments["tensor"], arguments["slice_spec"]
    items = list(spec) if isinstance(spec, tuple | list) else [spec]
    plain = [
        slice(item["start"], item["stop"], item["step"]) if isinstance(item, dict) else item
        for item in items
    ]
    known = all(isinstance(i, slice | int | type(...)) for i in plain) and not tensors_in(items)
    if not known or plain.count(...) > 1 or (labels := full(x)) is None:
        return call.opaque(tensors_in(x, items), Reason.SHAPE)
    if ... in plain:
        at = plain.index(...)
        missing = len(x.shape) - len(plain) + 1
        plain[at : at + 1] = [slice(None)] * missing
        items[at : at + 1] = [dict(start=None, stop=None, step=None)] * missing
    if plain[0] != slice(None):
        return call.opaque([x], Reason.SHAPE)
    for axis in x.varying:
        item = plain[axis] if axis < len(plain) else slice(None)
        if item == slice(None):
            continue
        if isinstance(item, int) or item.step not in (None, 1):
            call.freeze(x.labels, Reason.SHAPE)
            continue
        vector = call.vector(x, axis)
        start, stop, _ = item.indices(len(vector))

        def ends(keep: np.ndarray, axis: int = axis, start: int = start, stop: int = stop) -> Any:
            first = count(keep[:start])
            last = first + count(keep[start:stop])
            new = dict(start=first, stop=last, step=None)
            return tuple(new if i == axis else old for i, old in enumerate(items))

        call.resize(key(arguments, "slice_spec"), [vector], ends)
    return call.channels.settle(labels[tuple(plain)])


@function(
    "math.reduce_mean", "math.reduce_sum", "math.reduce_max", "math.reduce_min",
    "math.reduce_variance", "math.reduce_std",
)  # fmt: skip
def reduce(call: Call, arguments: Arguments) -> Any:
    """Over space the channels stay what they are; over channels they are mixed."""
    x, axis = arguments["input_tensor"], arguments.get("axis")
    axes = {int(a) % len(x.shape) for a in tf.nest.flatten(axis)} if axis is not None else None
    if axes is None or axes & {0, *(x.varying or [len(x.shape) - 1])}:
        return call.opaque([x], Reason.MIXES)
    return x.labels if arguments.get("keepdims") else np.squeeze(x.labels, tuple(axes))


@function(
    "expand_dims", "squeeze", "compat.v1.squeeze", "nn.depth_to_space", "nn.space_to_depth",
    "compat.v1.depth_to_space", "compat.v1.space_to_depth", "reverse", "tile",
)  # fmt: skip
def movement(call: Call, arguments: Arguments) -> Any:
    """Values change places, and no argument holds a number of channels."""
    (x,) = tensors_in(arguments)
    name = next(name for name, value in arguments.items() if value is x)
    moved = moved_by(call, x, arguments, name)
    if moved is None or moved[0].shape[0] > 1 or call.shapes[0][0] is not None:
        return call.opaque([x], Reason.SHAPE)
    return moved[0]
