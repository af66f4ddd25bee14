"""One call of a layer: what a rule receives, and what it can record about the channels.

The call is independent of frameworks. For the few things that only a framework can do, such as
trying out a function, it has a `Framework`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from keras_spp.core.channels import Argument, Channels, Labels, Reason, Tensor
from keras_spp.core.kinds import own_name
from keras_spp.util.nest import flatten


@dataclass(frozen=True)
class Followed:
    """The way in which a function's results follow its operands.

    Attributes:
        operands: The tensors whose channels it keeps apart, tied position by position.
        places: For each result the axis of its channels and, for each position along that axis,
            the operand's position that is found there; None for a result that has no channels.
        edits: The arguments that hold one value per channel, and how to cut them.
    """

    operands: list[Tensor]
    places: list[tuple[int, np.ndarray] | None]
    edits: list[tuple[Argument, Callable[[np.ndarray], np.ndarray]]]


class Framework(Protocol):
    """The interface of rules to the framework of the layers; a module or an object may be one.

    `keras_spp.frameworks.tf_keras.labelling` is that of tf_keras.
    """

    def follow(
        self,
        functions: Sequence[Callable[..., Any]],
        args: tuple,
        kwargs: dict[str, Any],
        operands: Sequence[Tensor],
    ) -> Followed | Reason:
        """Tries a function with all channels of its operands and with some left out.

        Args:
            functions: What is called; all have to do the same. Without any nothing is followed.
            args: Its arguments, `Tensor`s in place of tensors.
            kwargs: Its keyword arguments.
            operands: The tensors whose channels may leave; some of these must have channels.

        Returns:
            How the results follow, or the reason why they do not.
        """

    def as_functions(self, layer: Any) -> list[Callable[..., Any]]:
        """Returns what a layer without weights computes, as functions of inference and training.

        There are none if it depends on more than its arguments. Raises ValueError if the layer
        cannot be copied.
        """

    def config(self, layer: Any) -> dict[str, Any]:
        """Returns a layer's config without the objects that Keras may not read back."""

    def weight_path(self, layer: Any, variable: Any) -> str | None:
        """Returns the attribute that holds a variable, like "cell.kernel"; None if none does."""

    def takes_sizes(self, layer: Any) -> bool:
        """Tells whether a layer's rule can handle tensors made of others' sizes."""

    def asks_for_mask(self, layer: Any) -> bool:
        """Tells whether a mask that a layer makes reaches, or may reach, one that uses it."""


@dataclass(frozen=True)
class Call:
    """One call of one layer, with what a rule can record about it.

    Attributes:
        framework: The framework of the layer.
        channels: The record of the model.
        layer: The layer.
        shapes: The static shapes of its outputs.
        dtypes: Their types.
    """

    framework: Framework
    channels: Channels
    layer: Any
    shapes: Sequence[tuple[int | None, ...]]
    dtypes: Sequence[Any]

    def vector(self, tensor: Tensor, axis: int = -1) -> Labels:
        """Returns the labels along one axis of a tensor, one per channel.

        Labels that differ along another axis are frozen: a layer that meets all of them mixes them.
        """
        if set(tensor.varying) - {axis % len(tensor.shape)}:
            self.freeze(tensor.labels, Reason.MIXES)
        return self.channels.vector(tensor, axis)

    def place(self, vector: Labels, axis: int = -1, output: int = 0) -> Labels:
        """Returns a label vector as the labels of an output whose `axis` holds the channels."""
        shape = [1] * len(self.shapes[output])
        shape[axis] = len(vector)
        return vector.reshape(shape)

    def reads(self, variable: Any, axis: int, labels: Labels) -> None:
        """Records that the axis of this kernel reads these channels: zeros there drop them.

        The kernel must be an attribute of the layer, or of a layer that is one.
        """
        path = self.framework.weight_path(self.layer, variable)
        if path is None:  # then no mask can be put on it
            self.freeze(labels, Reason.UNKNOWN)
        self.channels.label(self.layer, variable, axis, labels, "reads", path)

    def writes(self, variable: Any, axis: int) -> Labels:
        """Records that the axis of this variable makes new channels; returns their labels."""
        recorded = self.channels.axes.get((id(variable), axis % len(variable.shape)))
        labels = recorded.labels if recorded else self.channels.new(variable.shape[axis])
        return self.channels.label(self.layer, variable, axis, labels, "writes")

    def follows(self, variable: Any, axis: int, labels: Labels) -> None:
        """Records that the axis of this variable (a bias, a scale...) has one entry per channel."""
        if variable is not None:
            self.channels.label(self.layer, variable, axis, labels, "follows")

    def costs(self, variable: Any, positions: Iterable[int | None]) -> None:
        """Records that each element of this kernel is multiplied once per position."""
        batch, of_sample = self.shapes[0][0], self.channels.batch
        spread = (batch or 1) // (of_sample or 1)  # how many batch entries a sample has become
        self.channels.cost(self.layer, variable, (*positions, spread))

    def resize(
        self, key: str | Argument, labels: Sequence[Labels], value: Callable[..., Any]
    ) -> None:
        """Records that the config entry or `Argument` `key` becomes `value(*keep_vectors)`."""
        if isinstance(key, str) and not self._has_config(key):
            for vector in labels:  # a subclass that fixes the size, or renames it
                self.freeze(vector, Reason.UNKNOWN)
        self.channels.edit(self.layer, key, labels, value)

    def _has_config(self, key: str) -> bool:
        if own_name(type(self.layer)) is not None:
            return True
        try:
            return key in self.framework.config(self.layer)
        except Exception:  # whatever a user's class raises; prune will say so
            return False

    def freeze(self, labels: Labels, reason: Reason) -> None:
        """Records that these channels must all stay."""
        self.channels.freeze(labels, reason, self.layer.name)

    def opaque(self, tensors: Iterable[Tensor], reason: Reason) -> list[Labels]:
        """Freezes the inputs and returns frozen labels for every output."""
        for tensor in tensors:
            self.freeze(tensor.labels, reason)
        return [self.fixed(reason, output) for output in range(len(self.shapes))]

    def fixed(self, reason: Reason, output: int = 0) -> Labels:
        """Returns new, frozen labels for an output."""
        shape = self.shapes[output]
        labels = self.channels.new(1 if len(shape) < 2 else shape[-1] or 1)
        self.freeze(labels, reason)
        return labels.reshape([1] * (len(shape) - 1) + [-1] if shape else [])


class Refused(Exception):
    """The reason why a rule cannot follow the form in which a function was called."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(str(reason))
        self.reason = reason


def labelled(structure: Any) -> list[Tensor]:
    """Returns the labelled tensors in a structure."""
    return [item for item in flatten(structure) if isinstance(item, Tensor)]


def tensors_in(*structures: Any) -> list[Tensor]:
    """Returns the labelled tensors in call arguments.

    In place of a size that counts channels it returns the tensor whose size that is.
    """
    tensors = []
    for tensor in labelled(structures):
        tensors += tensor.origins() if tensor.counts_channels() else [tensor]
    return tensors
