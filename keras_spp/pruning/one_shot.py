"""Pruning at once, without training: the small model of a plan."""

from __future__ import annotations

from keras_spp import frameworks
from keras_spp.allocation.greedy import importance
from keras_spp.core.groups import Goals, Groups
from keras_spp.frameworks.interface import Model
from keras_spp.shrinking.cut import shrunk_to


def pruned_at_once(model: Model, groups: Groups, goals: Goals) -> Model:
    """Returns the small model in which the groups with the least scores are gone.

    Args:
        model: The opened model.
        groups: Its groups; where their scores are not known, the least L1 norms go.
        goals: How many groups of each set go.
    """
    scores = groups.scores or importance(groups, frameworks.of(model))
    alive = groups.alive(groups.kept(goals, scores))
    return shrunk_to(model, groups.coupling, groups.coupling.dead(alive), alive)
