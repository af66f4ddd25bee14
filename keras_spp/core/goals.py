"""From a target for the whole network to a goal for each set of groups."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import tf_keras as keras

from keras_spp.core.channels import Reason
from keras_spp.core.groups import Groups, GroupSet

# Kernels of phones and PCs compute blocks of up to 16 output channels, and a block that is partly
# used costs as much as a full one (benchmarks/latency/rounding.py).
BLOCK = 16
# A plan in whole blocks may exceed the target by this factor.
CLOSE = 1.05


class Allocation(Protocol):
    """How strongly each set is pruned, as a function of one strength for the whole network.

    `spp.prune` raises the strength until the network meets its target; the ratios must not fall
    when it rises. An allocation that looks for its ratios by trying them has a third method, as
    `spp.Search.search`, which is called before `ratios`.
    """

    def prepare(self, model: keras.Model, groups: Groups, representative_data: Any) -> None:
        """Called once before `ratios`, with the dense model and the user's representative data."""

    def ratios(self, sets: list[GroupSet], strength: float) -> list[float]:
        """Pruning ratio in [0, 1] for each set at a strength in [0, 1]."""


class Uniform:
    """The same ratio everywhere.

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

    def prepare(self, model: keras.Model, groups: Groups, representative_data: Any) -> None:
        """Nothing to prepare: a uniform ratio looks at no data."""

    def ratios(self, sets: list[GroupSet], strength: float) -> list[float]:
        """The strength itself."""
        return [strength] * len(sets)


def goal(size: int, ratio: float, round_to: int) -> int:
    """Groups to prune so that the survivors are a multiple of `round_to`, never fewer.

    Args:
        size: Number of groups.
        ratio: Pruning ratio in [0, 1].
        round_to: Survivors are rounded up to a multiple of it, at most to all of them.

    Returns:
        A count in [0, size - round_to] (0 for sets smaller than `round_to`).

    Example:
        >>> goal(64, 0.5, 8), goal(20, 0.5, 8), goal(4, 0.9, 8)
        (32, 4, 0)
    """
    survivors = size - int(np.ceil(ratio * size - 1e-9))
    rounded = max(-(-survivors // round_to), 1) * round_to
    return size - min(rounded, size)


def set_goals(groups: Groups, ratios: list[float], round_to: int) -> None:
    """Gives every set its goal."""
    for entry, ratio in zip(groups.sets, ratios, strict=True):
        entry.goal = goal(entry.size, ratio, entry.step(round_to))


def meet_ratio(groups: Groups, ratio: float, allocation: Allocation, round_to: int) -> None:
    """Goals for one pruning ratio: the share of all groups, before rounding."""
    _search(allocation, lambda other: meet_ratio(groups, ratio, other, round_to))
    sizes = np.array([entry.size for entry in groups.sets])
    low, high = 0.0, 1.0
    for _ in range(50):  # so fine that a uniform ratio comes out as it was given
        middle = (low + high) / 2
        met = sizes @ allocation.ratios(groups.sets, middle) >= ratio * sizes.sum() - 1e-9
        low, high = (low, middle) if met else (middle, high)
    set_goals(groups, allocation.ratios(groups.sets, high), round_to)


def _search(allocation: Allocation, meet: Callable[[Allocation], None]) -> None:
    """Lets an allocation try what meets the target, if it wants to."""
    search = getattr(allocation, "search", None)
    if search is not None:
        search(meet)


def meet_ratios(groups: Groups, ratios: Mapping[str, float], round_to: int) -> None:
    """Goals for ratios given layer by layer; layers that are not named are not pruned.

    Raises:
        ValueError: For a name that is no layer with groups of its own, or for layers that share
            channels and got different ratios.
    """
    for name in ratios:
        if not any(name in entry.layers for entry in groups.sets):
            raise ValueError(f"`pruning_ratio` names {_why_not(groups, name)}.")
    wanted = []
    for entry in groups.sets:
        given = {name: ratios[name] for name in entry.layers if name in ratios}
        if len(set(given.values())) > 1:
            raise ValueError(
                f"`pruning_ratio` must be the same for layers that share their channels but is "
                f"{given}."
            )
        wanted.append(next(iter(given.values()), 0.0))
    set_goals(groups, wanted, round_to)


def _why_not(groups: Groups, name: str) -> str:
    axes = [axis for axis in groups.coupling.channels.axes.values() if axis.layer.name == name]
    prunable = sorted({layer for entry in groups.sets for layer in entry.layers})
    listed = f"the layers that can be pruned are {prunable}"
    if not axes:
        return f"{name!r}, but no layer with channels is called so: {listed}"
    written = [axis for axis in axes if axis.role == "writes"] or axes
    found = groups.coupling.reasons.get(int(groups.coupling.of(written[0])[0]))
    reason, detail = found or (Reason.UNREAD, "")
    where = f", {detail}" if detail and detail != name else ""
    return f"{name!r}, which cannot be pruned ({reason}{where}): {listed}"


def meet_speedup(groups: Groups, target: float, allocation: Allocation, round_to: int) -> None:
    """Goals that reach a speedup in MACs and prune nothing that it does not need.

    A uniform plan whose survivors fill whole blocks is taken, even if `round_to` would allow
    others, when it meets the target closely (see `Uniform`). Allocations that look at what layers
    can do without are not bent to blocks: that costs more accuracy.

    Raises:
        ValueError: If even the strongest pruning does not reach it; says how far one can go.
    """
    dense = groups.dense()
    if not dense:
        raise ValueError(
            f"`target_speedup` is {target:g} but there are no MACs to count with "
            f"counted={groups.coupling.counted!r}: give pruning_ratio instead."
        )
    _search(allocation, lambda other: meet_speedup(groups, target, other, round_to))
    exact = [entry.step(round_to) for entry in groups.sets]
    blocks = [
        entry.step(math.lcm(round_to, block(entry.size * entry.width))) for entry in groups.sets
    ]
    if (
        groups.granularity == "column"  # no output channels: their number fills no blocks
        or groups.price is not None  # the target is hit by small steps, not by large ones
        or not getattr(allocation, "whole_blocks", False)
    ):
        blocks = exact
    for steps in (blocks, exact):
        if _meet(groups, dense / target, allocation, steps) and (
            steps is exact or dense / groups.cost() <= target * CLOSE
        ):
            return
    largest = np.floor(100 * dense / groups.cost()) / 100
    raise ValueError(
        f"`target_speedup` is {target:g} but the largest that this model can reach with "
        f"round_to={round_to} and granularity={groups.granularity!r} is {largest:g}: "
        f"spp.analyze(model) says what cannot be pruned and why."
    )


def block(size: int) -> int:
    """The largest power of two up to `BLOCK` of which a set holds at least two.

    Example:
        >>> block(64), block(24), block(16), block(1)
        (16, 8, 8, 1)
    """
    return min(BLOCK, 2 ** max(0, int(np.log2(size)) - 1))


def _meet(groups: Groups, most: float, allocation: Allocation, steps: list[int]) -> bool:
    """Finds goals that leave at most so many MACs; if there are none, leaves the strongest."""

    def leave(strength: float) -> list[float]:
        ratios = allocation.ratios(groups.sets, strength)
        wanted = [
            max(entry.size * (1 - ratio), 1.0)
            for entry, ratio in zip(groups.sets, ratios, strict=True)
        ]
        for entry, survivors, step in zip(groups.sets, wanted, steps, strict=True):
            _keep(entry, max(int(survivors / step + 1e-9), 1) * step)
        return wanted

    leave(1.0)
    if groups.cost() > most:
        return False
    # The strength that would do if any number could survive ...
    low, high = 0.0, 1.0
    for _ in range(24):
        middle = (low + high) / 2
        for entry, ratio in zip(groups.sets, allocation.ratios(groups.sets, middle), strict=True):
            entry.goal = goal(entry.size, ratio, 1)
        low, high = (low, middle) if groups.cost() <= most else (middle, high)
    # ... rounded down (all the way where sets of one step cannot follow), ...
    wanted = leave(high)
    if groups.cost() > most:
        leave(1.0)
    # ... then back up step by step where rounding took most, as far as the target allows. Where
    # it took the same, sets that many layers read come first: a residual stream hurts most.
    readers = [sum(entry in reader.sets for reader in groups.readers) for entry in groups.sets]
    open_sets = set(range(len(groups.sets)))
    while open_sets:
        kept = {n: (groups.sets[n].size - groups.sets[n].goal) / wanted[n] for n in open_sets}
        number = min(open_sets, key=lambda n: (round(kept[n], 6), -readers[n], n))
        entry, before = groups.sets[number], groups.sets[number].goal
        _keep(entry, entry.size - before + steps[number])
        if groups.cost() > most or not before:
            entry.goal = before
            open_sets.remove(number)
    return True


def _keep(entry: GroupSet, survivors: int) -> None:
    entry.goal = max(0, entry.size - survivors)
