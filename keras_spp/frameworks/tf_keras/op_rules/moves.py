"""Rules of TensorFlow functions that only move values: they run on the labels themselves.

In addition, each rule records which constant arguments hold a number of channels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from keras_spp.core.call import Call, Refused, tensors_in
from keras_spp.core.channels import Labels, Reason, Tensor
from keras_spp.core.common_rules import count, counted, full
from keras_spp.frameworks.tensorflow.sizes import OPEN_SIZE
from keras_spp.frameworks.tf_keras.op_rules.registry import Arguments, function, key
from keras_spp.rules.channelwise import mixes
from keras_spp.rules.functions import padded, reshaped, settled, stacked
from keras_spp.rules.merges import concatenated


def moved_by(call: Call, x: Tensor, arguments: Arguments, name: str) -> list[np.ndarray] | None:
    """Runs the function on the labels of one sample; returns None if that does not tell."""
    labels = full(x, OPEN_SIZE)
    plain = {key: value for key, value in arguments.items() if key != "#"}
    try:
        results = call.layer.function(**{**plain, name: tf.constant(labels, tf.int64)})
    except Exception:  # it needs the real size, the batch, a computed argument, or a GPU
        return None
    return settled(call, x, [result.numpy() for result in tf.nest.flatten(results)])


@function("concat")
def concat(call: Call, arguments: Arguments) -> Any:
    """Concatenates tensors and constants along a constant axis."""
    values, axis = arguments["values"], arguments["axis"]
    if isinstance(axis, Tensor):
        raise Refused(Reason.SHAPE)
    values = values if isinstance(values, list | tuple) else [values]
    return concatenated(call, [_as_tensor(call, value) for value in values], int(axis))


def _as_tensor(call: Call, value: Any) -> Tensor:
    """Labels a constant: its channels stay, like those of an input."""
    if isinstance(value, Tensor):
        return value
    shape = np.shape(value)
    labels = call.channels.new(shape[-1])
    call.freeze(labels, Reason.INPUT)
    return Tensor(labels.reshape([1] * (len(shape) - 1) + [-1]), shape)


@function("reshape")
def reshape(call: Call, arguments: Arguments) -> Any:
    """Moves the labels and records the target shape where it holds a number of channels."""
    x, shape = arguments["tensor"], arguments["shape"]
    if not isinstance(x, Tensor) or isinstance(shape, Tensor):
        raise Refused(Reason.SHAPE)
    items = list(shape if isinstance(shape, list | tuple) else np.asarray(shape).tolist())

    def resize(axis: int, vector: Labels) -> None:
        if isinstance(items[axis], Tensor):
            raise Refused(Reason.SHAPE)
        if items[axis] != -1:
            call.resize(key(arguments, "shape", axis), [vector], count)

    return reshaped(call, x, resize)


@function("transpose", "compat.v1.transpose")
def transpose(call: Call, arguments: Arguments) -> Any:
    """Permutes axes; the batch must stay in front."""
    (x,) = tensors_in(arguments)
    name = "a" if "a" in arguments else "x"
    perm = arguments.get("perm")
    if perm is None or perm[0] != 0 or arguments.get(name) is not x:
        raise Refused(Reason.SHAPE)
    return np.transpose(x.labels, [int(axis) for axis in perm])


@function("pad", "compat.v1.pad")
def pad(call: Call, arguments: Arguments) -> Any:
    """Adds channels of constants; padding in space changes nothing."""
    x, paddings = arguments["tensor"], arguments["paddings"]
    mode = str(arguments.get("mode", "CONSTANT")).upper()
    if tensors_in(paddings):
        raise Refused(Reason.SHAPE)
    place = key(arguments, "paddings")
    return padded(
        call,
        x,
        np.asarray(paddings).tolist(),
        mode == "CONSTANT",
        lambda labels, value: call.resize(place, labels, value),
    )


@function("split")
def split(call: Call, arguments: Arguments) -> Any:
    """Splits into equal parts or by a list of sizes, which is rewritten."""
    x, sizes, axis = arguments["value"], arguments["num_or_size_splits"], arguments.get("axis", 0)
    if tensors_in(sizes, axis) or (moved := moved_by(call, x, arguments, "value")) is None:
        raise Refused(Reason.SHAPE)
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


@function("ensure_shape", "broadcast_to")
def of_shape(call: Call, arguments: Arguments) -> Any:
    """Records an argument that holds the shape, with the number of channels."""
    (_, x), (name, shape) = list(arguments.items())[:2]
    if not isinstance(x, Tensor) or tensors_in(shape):
        raise Refused(Reason.SHAPE)
    sizes = list(shape)
    label_shape = [1] * (len(sizes) - len(x.shape)) + list(x.labels.shape)
    for axis, label_size in enumerate(label_shape):
        if label_size > 1 and sizes[axis] is not None:
            call.resize(key(arguments, name), [x.labels.ravel()], counted(sizes, axis))
    return x.labels.reshape(label_shape)


@function("stack")
def stack(call: Call, arguments: Arguments) -> Any:
    """Stacks tensors along a new axis, which ties the channels of all."""
    tensors = arguments["values"] if isinstance(arguments["values"], list | tuple) else []
    return stacked(call, tensors, arguments.get("axis", 0))


@function("unstack", "roll")
def apart(call: Call, arguments: Arguments) -> Any:
    """Moves values along an axis other than that of the channels."""
    name, x = next(iter(arguments.items()))
    if mixes(x, arguments.get("axis", 0)) or (moved := moved_by(call, x, arguments, name)) is None:
        raise Refused(Reason.SHAPE)
    return moved


@function(
    "expand_dims", "squeeze", "compat.v1.squeeze", "nn.depth_to_space", "nn.space_to_depth",
    "compat.v1.depth_to_space", "compat.v1.space_to_depth", "repeat", "reverse", "tile",
)  # fmt: skip
def movement(call: Call, arguments: Arguments) -> Any:
    """Moves values by a function none of whose arguments holds a number of channels."""
    name, x = next(iter(arguments.items()))
    if not isinstance(x, Tensor):  # a constant, moved by computed sizes
        return call.fixed(Reason.INPUT)
    if "tile" in call.layer.get_config()["function"]:  # how often does not matter to labels
        arguments = _once(arguments, "multiples")
    moved = moved_by(call, x, arguments, name)
    if moved is None:
        raise Refused(Reason.SHAPE)
    return moved[0]


def _once(arguments: Arguments, name: str) -> Arguments:
    """Returns the arguments with 1 for each computed size in one of them."""
    sizes = arguments[name]
    if not isinstance(sizes, list | tuple):
        return arguments
    return {**arguments, name: [1 if isinstance(size, Tensor) else size for size in sizes]}
