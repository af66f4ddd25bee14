"""The parts of rules for functions of arrays, which every framework has under names of its own.

Where a size or a constant lies in a call differs between frameworks: each of these functions gets
`record`, which is told the labels that something depends on and how it is made from what is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_spp.core.call import Call, Refused
from keras_spp.core.channels import Argument, Labels, Reason, Tensor
from keras_spp.core.common_rules import count, full, merged
from keras_spp.rules.channelwise import mixes
from keras_spp.rules.moves import regroups

Record = Callable[[Sequence[Labels], Callable[..., Any]], None]
WHOLE = slice(None)


def positionwise(call: Call, operands: dict[str | int, Any]) -> Any:
    """Merges tensors and constants, which may hold one value per channel.

    Args:
        call: The call.
        operands: What is merged, by the place in the call, constants too.
    """
    tensors = [value for value in operands.values() if isinstance(value, Tensor)]
    labels = merged(call, tensors)
    if isinstance(labels, list):
        return labels
    result = Tensor(labels, call.shapes[0])
    for name, value in operands.items():
        if isinstance(value, Tensor) or not np.shape(value):
            continue
        for axis in result.varying:
            constant_axis = axis - len(result.shape)  # constants broadcast from the right
            if np.ndim(value) < -constant_axis or np.shape(value)[constant_axis] == 1:
                continue
            call.resize(
                Argument(name),
                [call.vector(result, axis)],
                lambda keep, c=value, a=constant_axis: np.compress(keep, np.asarray(c), axis=a),
            )
        if any(x.shape != result.shape for x in tensors):  # a constant that widens the tensor
            raise Refused(Reason.SHAPE)
    return labels


def reduced(x: Tensor, axis: Any, keepdims: bool) -> Labels:
    """Keeps the channels of a reduction over space; refuses one over channels.

    Args:
        x: What is reduced.
        axis: One axis, a list, or None for all.
        keepdims: Whether they stay, with size 1.
    """
    if axis is None or mixes(x, axis):
        raise Refused(Reason.MIXES)
    axes = tuple({int(a) % len(x.shape) for a in np.ravel(axis)})
    return x.labels if keepdims else np.squeeze(x.labels, axes)


def reshaped(call: Call, x: Tensor, resize: Callable[[int, Labels], None]) -> Labels | list[Labels]:
    """Moves the labels of a reshape that leaves the batch alone, or regroups it with space.

    Args:
        call: The call.
        x: What is reshaped.
        resize: Records that the size of an axis of the target follows labels.
    """
    target = call.shapes[0]
    if regroups(x, target):
        vector = call.vector(x)
        resize(len(target) - 1, vector)
        return call.place(vector)
    labels = full(x)
    sizes = [size for size in target[1:] if size is not None]
    same_batch = labels is not None and target[0] == x.shape[0] and labels.size == np.prod(sizes)
    if labels is None or not same_batch or len(sizes) < len(target) - 1:
        raise Refused(Reason.SHAPE)
    labels = call.channels.settle(labels.reshape(1, *sizes))
    result = Tensor(labels, target)
    for axis in result.varying:
        resize(axis, call.vector(result, axis))
    return labels


def padded(
    call: Call, x: Tensor, amounts: Sequence[Sequence[int]], constant: bool, record: Record
) -> Labels:
    """Adds channels of constants; padding in space changes nothing.

    Args:
        call: The call.
        x: What is padded.
        amounts: How much before and after each axis.
        constant: Whether the padding is a constant, not the values beside it.
        record: For the amounts.
    """
    labels = x.labels
    for axis, (before, after) in enumerate(amounts):
        channelled = labels.shape[axis] > 1 or axis == len(amounts) - 1
        if not (before or after) or not channelled:
            continue
        vector = call.vector(x, axis)
        if not constant or axis == 0 or x.shape[axis] is None:
            raise Refused(Reason.SHAPE)
        head, tail = call.channels.new(before), call.channels.new(after)
        labels = call.place(np.concatenate([head, vector, tail]), axis)
        record(
            [head, tail],
            lambda first, last, at=axis: [
                [count(first), count(last)] if i == at else list(pair)
                for i, pair in enumerate(amounts)
            ],
        )
    return labels


def stacked(call: Call, tensors: Sequence[Any], axis: int) -> Labels:
    """Stacks tensors along a new axis, which ties the channels of all."""
    labels_of_all = [full(tensor) for tensor in tensors if isinstance(tensor, Tensor)]
    values = [labels for labels in labels_of_all if labels is not None]
    axis = int(axis) % len(call.shapes[0])
    if axis == 0 or not tensors or len(values) < len(tensors):
        raise Refused(Reason.SHAPE)
    return call.channels.settle(np.stack(values, axis))


def settled(call: Call, x: Tensor, results: Sequence[np.ndarray]) -> list[Labels] | None:
    """Returns what a function has made of the labels of one sample; None if that does not tell.

    Args:
        call: The call.
        x: The tensor whose labels were moved.
        results: The moved labels, of one sample.
    """
    labels = []
    for result, shape in zip(results, call.shapes, strict=True):
        # A function that moves or divides the batch cannot be run on one sample.
        if (
            not shape
            or len(result.shape) != len(shape)
            or result.shape[0] != 1
            or shape[0] != x.shape[0]
        ):
            return None
        labels.append(call.channels.settle(result))
        if any(shape[axis] is None for axis in Tensor(labels[-1], shape).varying):
            return None
    return labels


def indexed(
    call: Call,
    x: Tensor,
    items: Sequence[Any],
    unknown: int,
    record: Callable[[int, Sequence[Labels], Callable[..., Any]], None],
) -> Labels:
    """Takes what brackets take: records the ends of a contiguous slice of channels.

    Args:
        call: The call.
        x: What is indexed.
        items: What is between the brackets: slices, numbers and None, one for each axis.
        unknown: A size for those that are open.
        record: For the item at a place, which becomes a number or a slice.
    """
    plain = list(items)
    labels = full(x, unknown)
    if labels is None or not all(isinstance(i, slice | int | None) for i in plain):
        raise Refused(Reason.SHAPE)
    if plain[0] != WHOLE:
        raise Refused(Reason.SHAPE)
    places = [place for place, item in enumerate(plain) if item is not None]
    for axis in x.varying:
        place = places[axis]
        item = plain[place]
        if item in (WHOLE, slice(None, None, -1)):
            continue
        if not isinstance(item, int) and item.step not in (None, 1):
            raise Refused(Reason.SHAPE)
        vector = call.vector(x, axis)
        if isinstance(item, int):  # the only channel of the result, so it must stay
            chosen = item % len(vector)
            call.freeze(vector[chosen : chosen + 1], Reason.SHAPE)
            record(place, [vector[:chosen]], count)
            continue
        start, stop, _ = item.indices(len(vector))

        def ends(keep: np.ndarray, start: int = start, stop: int = stop) -> slice:
            first = count(keep[:start])
            return slice(first, first + count(keep[start:stop]), None)

        record(place, [vector], ends)
    for axis, size in enumerate(x.shape):
        if size is None and isinstance(plain[places[axis]], slice):
            plain[places[axis]] = WHOLE  # the part has an open size too
    return call.channels.settle(labels[tuple(plain)])


def chosen_places(chosen: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function from a keep-vector to the places of a choice of channels that are left."""
    return lambda keep: (np.cumsum(keep) - 1)[chosen[keep[chosen]]]
