"""Rules of functions that only move values: they run on the labels themselves.

Sizes are constants of the function; those that are a number of channels are recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_spp.core.call import Call, Refused
from keras_spp.core.channels import Argument, Labels, Reason, Tensor
from keras_spp.core.common_rules import count, counted, full, shape_of
from keras_spp.core.kinds import own_name
from keras_spp.frameworks.keras3.op_rules.registry import channel_axis, operation_rule
from keras_spp.rules import functions
from keras_spp.rules.channelwise import mixes
from keras_spp.rules.merges import concatenated

OPEN_SIZE = 24  # replaces an open size; divisible by the usual blocks of pixels


def moved_by(call: Call, x: Any) -> list[Labels]:
    """Runs the function on the labels of one sample; refuses what that does not tell."""
    labels = full(x, OPEN_SIZE) if isinstance(x, Tensor) else None
    if labels is None:
        raise Refused(Reason.SHAPE)
    try:
        results = call.layer.call(keras.ops.convert_to_tensor(labels.astype("int32")))
    except Exception as error:  # it needs the real size, or the batch
        raise Refused(Reason.SHAPE) from error
    arrays = [keras.ops.convert_to_numpy(result) for result in keras.tree.flatten(results)]
    settled = functions.settled(call, x, arrays)
    if settled is None:
        raise Refused(Reason.SHAPE)
    return settled


@operation_rule("Concatenate")
def concatenate(call: Call, values: Sequence[Any]) -> Labels | list[Labels]:
    """Concatenates tensors and constants."""
    return concatenated(call, [_as_tensor(call, value) for value in values], call.layer.axis)


def _as_tensor(call: Call, value: Any) -> Tensor:
    """Labels a constant: its channels stay, like those of an input."""
    if isinstance(value, Tensor):
        return value
    shape = np.shape(value)
    labels = call.channels.new(shape[-1])
    call.freeze(labels, Reason.INPUT)
    return Tensor(labels.reshape([1] * (len(shape) - 1) + [-1]), shape)


@operation_rule("Stack")
def stack(call: Call, values: Sequence[Any]) -> Labels:
    """Stacks tensors along a new axis, which ties the channels of all."""
    return functions.stacked(call, values, call.layer.axis)


@operation_rule("Reshape")
def reshape(call: Call, x: Tensor) -> Labels | list[Labels]:
    """Moves the labels and records the target shape where it holds a number of channels."""
    shape = call.layer.newshape
    shape = [shape] if isinstance(shape, int) else list(shape)

    def resize(axis: int, vector: Labels) -> None:
        if shape[axis] not in (-1, None):
            call.resize("newshape", [vector], counted(shape, axis))

    return functions.reshaped(call, x, resize)


@operation_rule("BroadcastTo")
def broadcast_to(call: Call, x: Tensor) -> Labels:
    """Records the shape where it holds a number of channels."""
    sizes = list(call.layer.shape)
    labels = x.labels.reshape([1] * (len(sizes) - len(x.shape)) + list(x.labels.shape))
    for axis, size in enumerate(labels.shape):
        if size > 1 and sizes[axis] is not None:
            call.resize("shape", [labels.ravel()], counted(sizes, axis))
    return labels


@operation_rule("Pad")
def pad(call: Call, x: Tensor, constant_values: Any = None) -> Labels:
    """Adds channels of constants; padding in space changes nothing."""
    amounts = [[int(amount) for amount in pair] for pair in call.layer.pad_width]
    if len(amounts) == 1:
        amounts *= len(x.shape)
    if amounts[0] != [0, 0] or np.ndim(constant_values):
        raise Refused(Reason.SHAPE)
    return functions.padded(
        call,
        x,
        amounts,
        call.layer.mode == "constant",
        lambda labels, value: call.resize("pad_width", labels, value),
    )


@operation_rule("Split")
def split(call: Call, x: Tensor) -> list[Labels]:
    """Splits into equal parts or at places, which become those of what is left."""
    moved = moved_by(call, x)
    axis = call.layer.axis % len(x.shape)
    if x.labels.shape[axis] > 1:
        parts = [
            call.vector(Tensor(labels, shape), axis)
            for labels, shape in zip(moved, call.shapes, strict=True)
        ]
        call.resize("indices_or_sections", parts, _places)
    return moved


def _places(*keeps: np.ndarray) -> list[int]:
    """Returns where to split what is left."""
    return np.cumsum([count(keep) for keep in keeps])[:-1].tolist()


@operation_rule("GetItem")
def get_item(call: Call, x: Tensor, key: Any) -> Labels:
    """Records the ends of a contiguous slice of channels; refuses other indices of channels."""
    items = _without_dots(key, len(x.shape))

    def record(place: int, labels: Sequence[Labels], value: Callable[..., Any]) -> None:
        def edited(*keep: np.ndarray) -> tuple:
            new = value(*keep)
            return tuple(new if i == place else old for i, old in enumerate(items))

        call.resize(Argument(1), labels, edited)

    return functions.indexed(call, x, items, OPEN_SIZE, record)


def _without_dots(key: Any, rank: int) -> list[Any]:
    """Returns what is between brackets without `...`, one for every axis of the tensor."""
    items = list(key) if isinstance(key, tuple | list) else [key]
    if not any(item is ... for item in items):
        items.append(...)
    at = next(place for place, item in enumerate(items) if item is ...)
    missing = rank - sum(item is not None and item is not ... for item in items)
    items[at : at + 1] = [functions.WHOLE] * missing
    return items


@operation_rule("Take")
def take(call: Call, x: Any, indices: Any) -> Labels:
    """Records a constant choice of channels, which becomes the places of the survivors."""
    if not isinstance(x, Tensor) or isinstance(indices, Tensor) or call.layer.axis is None:
        raise Refused(Reason.SHAPE)
    chosen, axis = np.asarray(indices), call.layer.axis % len(x.shape)
    labels = full(x, OPEN_SIZE)
    if chosen.ndim != 1 or axis == 0 or labels is None:
        raise Refused(Reason.SHAPE)
    chosen = chosen % labels.shape[axis]  # as negative ones count from the end
    settled = functions.settled(call, x, [np.take(labels, chosen, axis)])
    if settled is None:
        raise Refused(Reason.SHAPE)
    if axis in x.varying:
        call.resize(Argument(1), [call.vector(x, axis)], functions.chosen_places(chosen))
    return settled[0]


@operation_rule("Slice")
def slice_from(call: Call, x: Any, start_indices: Any) -> Labels:
    """Records the start and the size of a slice."""
    if not isinstance(x, Tensor) or isinstance(start_indices, Tensor):
        raise Refused(Reason.SHAPE)
    starts, sizes = list(map(int, start_indices)), list(call.layer.shape)
    labels = full(x, OPEN_SIZE)
    if labels is None or starts[0] != 0 or sizes[0] != x.shape[0]:
        raise Refused(Reason.SHAPE)
    for axis in x.varying:
        vector, first = call.vector(x, axis), starts[axis]
        call.resize(Argument(1), [vector[:first]], counted(starts, axis))
        taken = vector[first:] if sizes[axis] == -1 else vector[first : first + int(sizes[axis])]
        if sizes[axis] != -1:
            call.resize("shape", [taken], counted(sizes, axis))
    ends = [None if size == -1 else start + size for start, size in zip(starts, sizes, strict=True)]
    cut = tuple(slice(*pair) for pair in zip(starts[1:], ends[1:], strict=True))
    settled = functions.settled(call, x, [labels[(functions.WHOLE, *cut)]])
    if settled is None:
        raise Refused(Reason.SHAPE)
    return settled[0]


@operation_rule("ArraySplit", "Roll", "Unstack")
def apart(call: Call, x: Tensor) -> list[Labels]:
    """Moves values along an axis other than that of the channels."""
    axis = call.layer.axis
    if axis is None or mixes(x, list(np.ravel(axis))):
        raise Refused(Reason.SHAPE)
    return moved_by(call, x)


@operation_rule("Repeat")
def repeat(call: Call, x: Tensor) -> Labels:
    """Records how often each channel is repeated, if there is a number for each."""
    labels, times, axis = moved_by(call, x)[0], call.layer.repeats, call.layer.axis
    if np.size(times) > 1 and axis % len(x.shape) in x.varying:

        def cut(keep: np.ndarray) -> Any:
            left = np.compress(keep, times)
            return left if isinstance(times, np.ndarray) else left.tolist()

        call.resize("repeats", [call.vector(x, axis)], cut)
    return labels


@operation_rule("Hstack", "Dstack")
def joined(call: Call, xs: Sequence[Any]) -> Labels | list[Labels]:
    """Concatenates along the axis that the function is named for."""
    axis = 1 if own_name(type(call.layer)) == "Hstack" else 2
    if any(len(shape_of(x)) <= axis for x in xs):
        raise Refused(Reason.SHAPE)
    return concatenated(call, [_as_tensor(call, x) for x in xs], axis)


@operation_rule("ExtractPatches")
def patches(call: Call, x: Tensor) -> Labels:
    """Keeps the channels, of which a patch has one for each of its places."""
    axis = channel_axis(call)
    places = int(np.prod(call.layer.size))
    call.channels.leave_to_measure(call.layer)  # it is a convolution
    return call.place(np.tile(call.vector(x, axis), places), axis)


@operation_rule(
    "DepthToSpace", "ExpandDims", "Flip", "Fliplr", "Moveaxis", "Rot90", "SpaceToDepth",
    "Squeeze", "Swapaxes", "Tile", "Transpose",
)  # fmt: skip
def movement(call: Call, x: Tensor) -> Labels:
    """Moves values by a function none of whose constants holds a number of channels."""
    return moved_by(call, x)[0]
