"""What rules are made of: a call of a layer, and the ways in which it can pass labels on."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_spp.core.channels import Argument, Channels, Labels, Reason, Tensor
from keras_spp.frameworks.tf_keras import trial
from keras_spp.frameworks.tf_keras.clone import clone_layer, read_config
from keras_spp.frameworks.tf_keras.sizes import counts_channels, labelled, origins
from keras_spp.frameworks.tf_keras.variables import weight_path


@dataclass(frozen=True)
class Call:
    """One call of one layer, and what a rule can say about it."""

    channels: Channels
    layer: Any
    shapes: Sequence[tuple[int | None, ...]]  # of the outputs
    dtypes: Sequence[Any] = ()  # likewise

    def vector(self, tensor: Tensor, axis: int = -1) -> Labels:
        """Labels along one axis of a tensor, one per channel.

        Labels that differ along another axis are frozen: what meets all of them mixes them.
        """
        if set(tensor.varying) - {axis % len(tensor.shape)}:
            self.freeze(tensor.labels, Reason.MIXES)
        return self.channels.vector(tensor, axis)

    def place(self, vector: Labels, axis: int = -1, output: int = 0) -> Labels:
        """A label vector as the labels of an output whose `axis` holds the channels."""
        shape = [1] * len(self.shapes[output])
        shape[axis] = len(vector)
        return vector.reshape(shape)

    def reads(self, variable: Any, axis: int, labels: Labels) -> None:
        """The axis of this kernel consumes these channels: zeros there drop them.

        The kernel must be an attribute of the layer, or of a layer that is one.
        """
        path = weight_path(self.layer, variable)
        if path is None:  # then nothing could put a mask on it
            self.freeze(labels, Reason.UNKNOWN)
        self.channels.label(self.layer, variable, axis, labels, "reads", path)

    def writes(self, variable: Any, axis: int) -> Labels:
        """The axis of this variable makes new channels; returns their labels."""
        known = self.channels.axes.get((id(variable), axis % len(variable.shape)))
        labels = known.labels if known else self.channels.new(variable.shape[axis])
        return self.channels.label(self.layer, variable, axis, labels, "writes")

    def follows(self, variable: Any, axis: int, labels: Labels) -> None:
        """The axis of this variable (a bias, a scale...) has one entry per channel."""
        if variable is not None:
            self.channels.label(self.layer, variable, axis, labels, "follows")

    def costs(self, variable: Any, positions: Iterable[int | None]) -> None:
        """Each element of this kernel is multiplied at the positions of these dimensions."""
        batch, of_sample = self.shapes[0][0], self.channels.batch
        spread = (batch or 1) // (of_sample or 1)  # over how many a sample was spread before
        self.channels.cost(self.layer, variable, (*positions, spread))

    def resize(
        self, key: str | Argument, labels: Sequence[Labels], value: Callable[..., Any]
    ) -> None:
        """The config entry or call `Argument` `key` becomes `value(*keep_vectors)`."""
        if isinstance(key, str) and not self._has_config(key):
            for vector in labels:  # a subclass that fixes the size, or calls it otherwise
                self.freeze(vector, Reason.UNKNOWN)
        self.channels.edit(self.layer, key, labels, value)

    def _has_config(self, key: str) -> bool:
        if type(self.layer).__module__.startswith("tf_keras."):
            return True
        try:
            return key in read_config(self.layer)[0]
        except Exception:  # whatever a user's class raises; prune will say so
            return False

    def freeze(self, labels: Labels, reason: Reason) -> None:
        """These channels must all stay."""
        self.channels.freeze(labels, reason, self.layer.name)

    def opaque(self, tensors: Iterable[Tensor], reason: Reason) -> list[Labels]:
        """Freezes the inputs and returns frozen labels for every output."""
        for tensor in tensors:
            self.freeze(tensor.labels, reason)
        return [self.fixed(reason, output) for output in range(len(self.shapes))]

    def deferred(self, function: Callable[..., Any], args: tuple, kwargs: dict) -> list[Tensor]:
        """Outputs that are computed from sizes: what becomes of those is up to who takes them."""
        outputs = []
        for number, (shape, dtype) in enumerate(zip(self.shapes, self.dtypes, strict=True)):
            label = self.channels.new(1).reshape([1] * len(shape))
            self.freeze(label, Reason.INPUT)
            outputs.append(Tensor(label, shape, dtype, (function, args, kwargs, number)))
        return outputs

    def fixed(self, reason: Reason, output: int = 0) -> Labels:
        """New labels for an output, frozen."""
        shape = self.shapes[output]
        labels = self.channels.new(1 if len(shape) < 2 else shape[-1] or 1)
        self.freeze(labels, reason)
        return labels.reshape([1] * (len(shape) - 1) + [-1] if shape else [])


class Refused(Exception):
    """Says why a rule cannot follow the form in which a function was called."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(str(reason))
        self.reason = reason


def tensors_in(*structures: Any) -> list[Tensor]:
    """The labelled tensors in call arguments; for sizes that count channels whose those are."""
    found = []
    for item in labelled(structures):
        found += origins(item) if counts_channels(item) else [item]
    return found


def count(keep: np.ndarray) -> int:
    """How many channels a keep-vector keeps."""
    return int(keep.sum())


def counted(sizes: Sequence[Any], at: int) -> Callable[[np.ndarray], list[Any]]:
    """From a keep-vector to these sizes with the number of survivors at one place."""
    return lambda keep: [*sizes[:at], count(keep), *sizes[at + 1 :]]


def elementwise(call: Call, x: Tensor, *_: Any, **__: Any) -> Labels:
    """The rule of a layer that computes each element of its first input by itself.

    Example:
        >>> import keras_spp as spp, tf_keras as keras
        >>> class Squared(keras.layers.Layer):
        ...     def call(self, x):
        ...         return x * x
        >>> rule = spp.rule(Squared)(elementwise)
    """
    return x.labels


def full(x: Tensor, unknown: int | None = None) -> Labels | None:
    """Labels at every position of one sample; None if a size is not known and none is given."""
    sizes = [size or unknown for size in x.shape[1:]]
    known = [size for size in sizes if size is not None]
    return np.broadcast_to(x.labels, (1, *known)) if len(known) == len(sizes) else None


def moved(call: Call, x: Tensor, move: Callable[[Labels], Labels]) -> Labels | list[Labels]:
    """The labels of a layer that moves values: `move` does the same with the labels.

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
    """The labels of elementwise arithmetic with broadcasting: channel by channel, all are one.

    Args:
        call: The call of the layer.
        tensors: What is added, multiplied...

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
    """The tensor as broadcasting takes it, with axes of size 1 in front."""
    missing = (1,) * (rank - len(x.shape))
    return Tensor(x.labels.reshape(missing + x.labels.shape), missing + x.shape, x.dtype)


def tried(
    call: Call, functions: Sequence[Callable[..., Any]], args: tuple, kwargs: dict
) -> list[Labels]:
    """The labels behind a function without a rule, by what calling it shows.

    Args:
        call: The call of the layer.
        functions: What is called, on tensors in place of the labelled ones: all have to do the
            same, in training and in inference, say.
        args: Its arguments.
        kwargs: Those given by name.

    Returns:
        The labels of the outputs; frozen ones, and the inputs frozen, if it cannot be followed.
    """
    labels = followed(call, functions, args, kwargs)
    return call.opaque(tensors_in(args, kwargs), labels) if isinstance(labels, Reason) else labels


def followed(
    call: Call, functions: Sequence[Callable[..., Any]], args: tuple, kwargs: dict
) -> list[Labels] | Reason:
    """The same, but the reason if it cannot be followed, and nothing is frozen then."""
    given = tensors_in(args, kwargs)
    if not any(x.varying for x in given):  # sizes, or maps of one channel
        return Reason.FEW if any(len(x.shape) > 1 for x in given) else Reason.INPUT
    found = trial.follow(functions, args, kwargs, given)
    if isinstance(found, Reason):
        return found
    if any(map(_misplaced, found.places, call.shapes)):
        return Reason.FUNCTION
    vector = found.operands[0].labels.ravel()
    for x in given:
        if any(x is operand for operand in found.operands):
            call.channels.tie(vector, x.labels)
        else:
            call.freeze(x.labels, Reason.MIXES)
    for argument, cut in found.edits:
        call.resize(argument, [vector], cut)
    return [
        call.fixed(Reason.INPUT, number)  # a size, say
        if place is None
        else call.place(vector[place[1]], place[0], number)
        for number, place in enumerate(found.places)
    ]


def _misplaced(place: tuple[int, np.ndarray] | None, shape: tuple[int | None, ...]) -> bool:
    """Whether channels have become the batch or are mixed with it, or the rank is not known."""
    if place is None:
        return False
    axis, channels = place
    becomes_batch = axis == 0 and len(shape) > 1
    return becomes_batch or axis >= len(shape) or shape[axis] != len(channels)


def tried_layer(call: Call, args: tuple, kwargs: dict) -> list[Labels]:
    """The same for a layer without weights and without a rule."""
    try:
        functions = as_functions(call.layer)
    except ValueError:  # it cannot be copied: prune will say so
        functions = []
    if not functions:
        return call.opaque(tensors_in(args, kwargs), Reason.FUNCTION)
    plain = {name: value for name, value in kwargs.items() if name not in ("mask", "training")}
    return tried(call, functions, args, plain)


def as_functions(layer: Any) -> list[Callable[..., Any]]:
    """What a layer without weights computes, in inference and in training.

    Returns:
        Calls of a copy; none if it depends on more than its arguments, such as a mask.

    Raises:
        ValueError: If the layer cannot be copied.
    """
    if getattr(layer, "_fn_expects_mask_arg", layer._expects_mask_arg):
        return []
    copy = clone_layer(layer)
    if not copy._expects_training_arg:
        return [copy]
    return [functools.partial(copy, training=training) for training in (False, True)]
