"""Putting pruning wrappers around the layers of a model."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import tf_keras as keras

from keras_spp.core.groups import Goals, Groups
from keras_spp.core.schedule import Schedule
from keras_spp.frameworks.tf_keras.clone import clone_layer
from keras_spp.frameworks.tf_keras.graph import find_wrappers, layers
from keras_spp.frameworks.tf_keras.rebuilding import copy_weights, rebuild
from keras_spp.frameworks.tf_keras.wrapper import PruneSPP


def find_conductor(model: keras.Model, groups: Groups) -> keras.layers.Layer:
    """Returns the first layer that is pruned and that a training step reaches.

    Raises:
        ValueError: If there is none.
    """
    readers = {id(reader.layer) for reader in groups.readers}
    for layer in layers(model, in_training=True):
        if id(layer) in readers:
            return layer
    raise ValueError(
        f"`model` {model.name!r} calls every layer that could be pruned with training=False, "
        f"so no training step would reach them: leave the argument out for one of them."
    )


def wrapped(
    model: keras.Model,
    groups: Groups,
    goals: Goals,
    schedule: Schedule,
    counted: str,
    **of_conductor: Any,
) -> keras.Model:
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
    conductor = find_conductor(model, groups)
    readers = {id(reader.layer): reader for reader in groups.readers}
    configs = {
        id(entry): entry.config(goal) for entry, goal in zip(groups.sets, goals, strict=True)
    }

    def make_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
        inner = clone_layer(layer)
        reader = readers.get(id(layer))
        if reader is None:
            return inner
        return PruneSPP(
            inner,
            copy.copy(schedule),
            sets=[configs[id(entry)] for entry in reader.sets],
            weights=[masked.config() for masked in reader.weights],
            conductor=layer is conductor,
            counted=counted,
            **(of_conductor if layer is conductor else {}),
        )

    pruned = rebuild(model, make_layer)
    copy_weights(model, pruned)
    return pruned


def keep_probabilities(model: keras.Model) -> dict[int, np.ndarray]:
    """Returns what each masked weight is multiplied with in inference, by the variable's id."""
    return {
        id(masked.weight): masked.spread(wrapper.expected()).numpy()
        for wrapper in find_wrappers(model)
        for masked in wrapper.masked
    }
