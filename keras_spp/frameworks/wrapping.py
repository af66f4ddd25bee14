"""Putting pruning wrappers around the layers of a model: the same for both Keras."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_spp.core.groups import Goals, Groups
from keras_spp.core.schedule import Schedule


@dataclass(frozen=True)
class Wrapping:
    """What an adapter wraps with.

    Attributes:
        layers: Yields the layers of a model; `in_training` those that a training step reaches.
        clone: Copies a layer.
        rebuild: Rebuilds a model of new layers.
        copy_weights: Fills it.
        wrapper: The class of wrappers.
        read: Returns a tensor or variable as an array.
    """

    layers: Callable[..., Iterator[Any]]
    clone: Callable[[Any], Any]
    rebuild: Callable[..., Any]
    copy_weights: Callable[..., None]
    wrapper: Any
    read: Callable[[Any], np.ndarray]

    def find_conductor(self, model: Any, groups: Groups) -> Any:
        """Returns the first layer that is pruned and that a training step reaches.

        Raises:
            ValueError: If there is none.
        """
        readers = {id(reader.layer) for reader in groups.readers}
        for layer in self.layers(model, in_training=True):
            if id(layer) in readers:
                return layer
        raise ValueError(
            f"`model` {model.name!r} calls every layer that could be pruned with training=False, "
            f"so no training step would reach them: leave the argument out for one of them."
        )

    def wrapped(
        self,
        model: Any,
        groups: Groups,
        goals: Goals,
        schedule: Schedule,
        counted: str,
        **of_conductor: Any,
    ) -> Any:
        """Returns a copy of a model with a wrapper around each layer that reads groups.

        Args:
            model: The model.
            groups: Its groups.
            goals: How many groups of each set are to be pruned.
            schedule: Moves the probabilities.
            counted: Whose MACs count.
            **of_conductor: What the first wrapper gets beside, as it is said once for the model.

        Raises:
            ValueError: If no training step would reach a wrapper.
        """
        conductor = self.find_conductor(model, groups)
        readers = {id(reader.layer): reader for reader in groups.readers}
        configs = {
            id(entry): entry.config(goal) for entry, goal in zip(groups.sets, goals, strict=True)
        }

        def make_layer(layer: Any) -> Any:
            inner = self.clone(layer)
            reader = readers.get(id(layer))
            if reader is None:
                return inner
            return self.wrapper(
                inner,
                copy.copy(schedule),
                sets=[configs[id(entry)] for entry in reader.sets],
                weights=[masked.config() for masked in reader.weights],
                conductor=layer is conductor,
                counted=counted,
                **(of_conductor if layer is conductor else {}),
            )

        pruned = self.rebuild(model, make_layer)
        self.copy_weights(model, pruned)
        return pruned

    def wrappers(self, model: Any) -> list[Any]:
        """Returns the pruning wrappers of a model in the order of their first call."""
        return [layer for layer in self.layers(model) if isinstance(layer, self.wrapper)]

    def keep_probabilities(self, model: Any) -> dict[int, np.ndarray]:
        """Returns what masked weights are multiplied with in inference, by the variable's id."""
        return {
            id(masked.weight): self.read(masked.spread(wrapper.expected()))
            for wrapper in self.wrappers(model)
            for masked in wrapper.masked
        }
