"""Pruning at once, without training: the small model of a plan."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

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
    groups = network.groups
    alive = groups.alive(groups.kept(goals, scores))
    return shrunk_to(network.model, groups.coupling, groups.coupling.dead(alive), alive)
