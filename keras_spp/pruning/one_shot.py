"""Pruning at once, without training: the small model of a plan."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from keras_spp import frameworks
from keras_spp.compensation import kept
from keras_spp.core import arrays
from keras_spp.core.groups import Goals
from keras_spp.frameworks.interface import Model
from keras_spp.pruning.network import Network
from keras_spp.shrinking.shrink import shrunk_to


def pruned_at_once(network: Network, goals: Goals, scores: Mapping[str, np.ndarray]) -> Model:
    """Returns the small model in which the least important groups are gone.

    Args:
        network: The labelled model.
        goals: How many groups of each set go.
        scores: How important they are, shape (size,), by the name of their set.
    """
    groups, coupling = network.groups, network.groups.coupling
    left, alive = groups.kept(goals, scores), {}
    for reader in groups.readers:
        values = reader.joined(left).astype(np.float32)
        for mask in reader.weights:
            alive[id(mask.variable)] = mask.layout.spread(arrays, values)
    dead = coupling.dead({key: mask > 0 for key, mask in alive.items()})
    small = shrunk_to(network.model, coupling, dead, alive)
    kept.remember(small, network.model, coupling, dead)
    return small
