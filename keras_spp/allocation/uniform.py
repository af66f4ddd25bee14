"""The simplest allocation: the same ratio everywhere."""

from __future__ import annotations

from typing import Any

from keras_spp.core.groups import Groups, GroupSet


class Uniform:
    """Prunes the same ratio everywhere.

    Args:
        whole_blocks: Whether a plan for a target speedup may deviate from that, so that layers
            keep whole blocks of channels where that meets the target closely: at equal MACs it
            runs faster.

    Example:
        >>> Uniform().ratios([None, None], 0.5)
        [0.5, 0.5]
    """

    def __init__(self, whole_blocks: bool = True) -> None:
        self.whole_blocks = whole_blocks

    def prepare(self, model: Any, groups: Groups, representative_data: Any) -> None:
        """Does nothing: a uniform ratio looks at no data."""

    def ratios(self, sets: list[GroupSet], strength: float) -> list[float]:
        """Returns the strength itself."""
        return [strength] * len(sets)
