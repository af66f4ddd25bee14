"""Rules that many layers share, and their parts: count, move, merge, try out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_spp.core.call import Call, tensors_in
from keras_spp.core.channels import Labels, Reason, Tensor


def count(keep: np.ndarray) -> int:
    """Returns how many channels a keep-vector keeps."""
    return int(keep.sum())


def shape_of(value: Any) -> tuple[int | None, ...]:
    """Returns the shape of a tensor, a variable, or a constant."""
    return tuple(value.shape) if hasattr(value, "shape") else np.shape(value)


def counted(sizes: Sequence[Any], at: int) -> Callable[[np.ndarray], list[Any]]:
    """Returns a function from a keep-vector to these sizes, with the kept number at index `at`."""
    return lambda keep: [*sizes[:at], count(keep), *sizes[at + 1 :]]


def elementwise(call: Call, x: Tensor, *_: Any, **__: Any) -> Labels:
    """Returns the labels of a layer that computes each element of its first input by itself.

    Example:
        >>> import keras_spp as spp, tf_keras as keras
        >>> class Squared(keras.layers.Layer):
        ...     def call(self, x):
        ...         return x * x
        >>> rule = spp.rule(Squared)(elementwise)
    """
    return x.labels


def full(x: Tensor, unknown: int | None = None) -> Labels | None:
    """Returns labels at every position of one sample; None if a size is open and not given."""
    sizes = [size or unknown for size in x.shape[1:]]
    declared = [size for size in sizes if size is not None]
    return np.broadcast_to(x.labels, (1, *declared)) if len(declared) == len(sizes) else None


def moved(call: Call, x: Tensor, move: Callable[[Labels], Labels]) -> Labels | list[Labels]:
    """Returns the labels of a layer that moves values: `move` does the same with the labels.

    Args:
        call: The call of the layer.
        x: Its input.
        move: Receives integers of shape (1, *sizes of one sample) and returns them moved.

    Returns:
        The labels of the output; frozen ones if a size is open.

    Example:
        >>> import keras_spp as spp, tf_keras as keras
        >>> class Turned(keras.layers.Layer):
        ...     def call(self, x):
        ...         return x[:, ::-1]
        >>> rule = spp.rule(Turned)(lambda call, x: moved(call, x, lambda values: values[:, ::-1]))
    """
    labels = full(x)
    if labels is None:
        return call.opaque([x], Reason.SHAPE)
    return call.channels.settle(move(labels))


def merged(call: Call, tensors: Sequence[Tensor], *_: Any, **__: Any) -> Labels | list[Labels]:
    """Returns the labels of elementwise arithmetic, which ties all tensors channel by channel.

    Args:
        call: The call of the layer.
        tensors: What is added, multiplied... with broadcasting.

    Returns:
        The labels of the output. A single channel that meets all of the others is frozen.

    Example:
        >>> import keras_spp as spp, tf_keras as keras
        >>> class WeightedSum(keras.layers.Layer):
        ...     def build(self, shapes):
        ...         self.shares = self.add_weight(name="shares", shape=(len(shapes),))
        ...     def call(self, tensors):
        ...         return sum(w * x for w, x in zip(tf.unstack(tf.nn.relu(self.shares)), tensors))
        >>> rule = spp.rule(WeightedSum)(merged)
    """
    out = call.shapes[0]
    operands = [_raised(x, len(out)) for x in tensors if len(x.shape) <= len(out)]
    if len(operands) < len(tensors):
        return call.opaque(tensors, Reason.SHAPE)
    varying = {axis for x in operands for axis in x.varying}
    joined = []
    for x in operands:
        if any(x.shape[axis] == 1 and out[axis] != 1 for axis in varying):
            call.freeze(x.labels, Reason.MIXES)  # one channel that meets all of the others
        else:
            joined.append(x.labels)
    if not joined:  # an outer product
        return call.opaque(tensors, Reason.MIXES)
    arrays = np.broadcast_arrays(*joined)
    for other in arrays[1:]:
        call.channels.tie(arrays[0], other)
    return call.channels.settle(arrays[0])


def _raised(x: Tensor, rank: int) -> Tensor:
    """Returns the tensor with axes of size 1 in front, as broadcasting adds them."""
    missing = (1,) * (rank - len(x.shape))
    return Tensor(x.labels.reshape(missing + x.labels.shape), missing + x.shape, x.dtype)


def tried(
    call: Call, functions: Sequence[Callable[..., Any]], args: tuple, kwargs: dict
) -> list[Labels]:
    """Returns the labels of a function without a rule, found by calling it.

    Args:
        call: The call of the layer.
        functions: What is called, on tensors in place of the labelled ones: all have to do the
            same, in training and in inference, say.
        args: Its arguments.
        kwargs: Its keyword arguments.

    Returns:
        The labels of the outputs; frozen ones, and the inputs frozen, if it cannot be followed.
    """
    labels = followed(call, functions, args, kwargs)
    return call.opaque(tensors_in(args, kwargs), labels) if isinstance(labels, Reason) else labels


def followed(
    call: Call, functions: Sequence[Callable[..., Any]], args: tuple, kwargs: dict
) -> list[Labels] | Reason:
    """Does the same as `tried`, but freezes nothing and returns the reason if that fails."""
    tensors = tensors_in(args, kwargs)
    if not any(tensor.varying for tensor in tensors):  # sizes, or maps of one channel
        return Reason.FEW if any(len(tensor.shape) > 1 for tensor in tensors) else Reason.INPUT
    result = call.framework.follow(functions, args, kwargs, tensors)
    if isinstance(result, Reason):
        return result
    if any(map(_misplaced, result.places, call.shapes)):
        return Reason.FUNCTION
    vector = result.operands[0].labels.ravel()
    for tensor in tensors:
        if any(tensor is operand for operand in result.operands):
            call.channels.tie(vector, tensor.labels)
        else:
            call.freeze(tensor.labels, Reason.MIXES)
    for argument, cut in result.edits:
        call.resize(argument, [vector], cut)
    return [
        call.fixed(Reason.INPUT, number)  # a size, say
        if place is None
        else call.place(vector[place[1]], place[0], number)
        for number, place in enumerate(result.places)
    ]


def _misplaced(place: tuple[int, np.ndarray] | None, shape: tuple[int | None, ...]) -> bool:
    """Tells whether channels have become the batch or are mixed with it, or the rank is open."""
    if place is None:
        return False
    axis, channels = place
    becomes_batch = axis == 0 and len(shape) > 1
    return becomes_batch or axis >= len(shape) or shape[axis] != len(channels)


def tried_layer(call: Call, args: tuple, kwargs: dict) -> list[Labels]:
    """Does the same as `tried` for a layer without weights and without a rule."""
    try:
        functions = call.framework.as_functions(call.layer)
    except ValueError:  # it cannot be copied: prune will say so
        functions = []
    if not functions:
        return call.opaque(tensors_in(args, kwargs), Reason.FUNCTION)
    plain = {name: value for name, value in kwargs.items() if name not in ("mask", "training")}
    return tried(call, functions, args, plain)
