"""How labels pass through each kind of layer: one small rule per layer, found along the MRO.

A rule receives a `Call` and the labelled tensors that the layer was called with, tells the call
which variables read, write or follow which channels, and returns the labels of the outputs.
A layer without a rule freezes what goes in and what comes out. Your own layer needs a few lines:

    >>> import keras_spp as spp, tf_keras as keras
    >>> class Scale(keras.layers.Layer):            # y = x * w, one weight per channel
    ...     def build(self, shape):
    ...         self.w = self.add_weight(name="w", shape=shape[-1:])
    ...     def call(self, x):
    ...         return x * self.w
    >>> @spp.rule(Scale)
    ... def scale(call, x):
    ...     call.follows(call.layer.w, 0, call.vector(x))
    ...     return x.labels
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_spp.channels import Argument, Channels, Labels, Reason, Tensor
from keras_spp.copying import read_config
from keras_spp.masked import weight_path

L = keras.layers
Rule = Callable[..., Any]
_REGISTRY: dict[type, Rule] = {}


def rule(*classes: type) -> Callable[[Rule], Rule]:
    """Registers a rule for layer classes and their subclasses.

    Args:
        *classes: tf_keras layer classes.

    Returns:
        A decorator for ``rule(call, *tensors)``; see the module's documentation.

    Raises:
        TypeError: If something that is not a layer class is given.
    """
    for kind in classes:
        if not (inspect.isclass(kind) and issubclass(kind, L.Layer)):
            raise TypeError(f"rule: expected tf_keras layer classes, received {kind!r}.")

    def register(function: Rule) -> Rule:
        _REGISTRY.update(dict.fromkeys(classes, function))
        return function

    return register


@dataclass(frozen=True)
class Call:
    """One call of one layer, and what a rule can say about it."""

    channels: Channels
    layer: Any
    shapes: Sequence[tuple[int | None, ...]]  # of the outputs

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
        if weight_path(self.layer, variable) is None:  # then nothing could put a mask on it
            self.freeze(labels, Reason.UNKNOWN)
        self.channels.label(self.layer, variable, axis, labels, "reads")

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

    def resize(self, key: str | Argument, labels: Sequence[Labels], value: Rule) -> None:
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
        outputs = []
        for shape in self.shapes:
            labels = self.channels.new(1 if len(shape) < 2 else shape[-1] or 1)
            self.freeze(labels, reason)
            outputs.append(labels.reshape([1] * (max(len(shape), 1) - 1) + [-1]))
        return outputs


def tensors_in(*structures: Any) -> list[Tensor]:
    """The labelled tensors in call arguments."""
    return [item for item in tf.nest.flatten(structures) if isinstance(item, Tensor)]


def apply(
    channels: Channels, layer: Any, args: tuple, kwargs: dict, shapes: Sequence[tuple]
) -> list[Tensor]:
    """Applies the rule of a layer's class, or freezes everything around an unknown layer."""
    call = Call(channels, layer, shapes)
    found = find(type(layer))
    if found is None:
        channels.leave_to_measure(layer)
        labels = call.opaque(tensors_in(args, kwargs), Reason.UNKNOWN)
    else:
        labels = found(call, *args, **kwargs)
    labels = labels if isinstance(labels, list) else [labels]
    return [Tensor(*pair) for pair in zip(labels, shapes, strict=True)]


# What a subclass may define and still be followed like its ancestor.
_HARMLESS = frozenset({
    "__abstractmethods__", "__annotations__", "__dict__", "__doc__", "__init__", "__module__",
    "__orig_bases__", "__parameters__", "__slots__", "__weakref__", "_abc_impl",
    "_keras_api_names", "_keras_api_names_v1", "compute_output_shape", "from_config",
    "get_config", "get_prunable_weights",
})  # fmt: skip


def find(kind: type) -> Rule | None:
    """The rule for a class: its own or the nearest ancestor's whose forward pass it keeps."""
    for number, ancestor in enumerate(kind.__mro__):
        if ancestor in _REGISTRY:
            # A subclass that replaces any part (weight standardisation in convolution_op, another
            # weight in build) may do what the ancestor's rule knows nothing of.
            replaced = {name for part in kind.__mro__[:number] for name in vars(part)}
            changed = any(hasattr(ancestor, name) for name in replaced - _HARMLESS)
            return None if changed else _REGISTRY[ancestor]
    return None


def count(keep: np.ndarray) -> int:
    """How many channels a keep-vector keeps."""
    return int(keep.sum())
