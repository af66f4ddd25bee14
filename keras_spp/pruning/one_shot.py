"""Pruning at once, without training: the small model of a plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_spp.analysis.provenance import remember, summary
from keras_spp.compensation import kept
from keras_spp.core import arrays
from keras_spp.core.groups import Goals
from keras_spp.frameworks.interface import Model
from keras_spp.pruning.network import Network
from keras_spp.shrinking.shrink import shrunk_to


def pruned_at_once(
    network: Network,
    goals: Goals,
    scores: Mapping[str, np.ndarray],
    first: dict[str, Any] | None,
) -> Model:
    """Returns the small model in which the least important groups are gone.

    Args:
        network: The labelled model.
        goals: How many groups of each set go.
        scores: How important they are, shape (size,), by the name of their set.
        first: The `summary` of the model that was pruned first, if this one was pruned before.
    """
    groups, coupling = network.groups, network.groups.coupling
    left, alive = groups.kept(goals, scores), {}
    for reader in groups.readers:
        values = reader.joined(left)
        for mask in reader.weights:
            alive[id(mask.variable)] = mask.layout.spread(arrays, values)
    dead = coupling.dead(alive)
    small = shrunk_to(network.model, coupling, dead, alive)
    last = summary(network.model, coupling, network.sizes)
    remember(small, first or last, last)
    kept.remember(small, network.model, coupling, dead)
    return small
