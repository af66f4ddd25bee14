"""From a target for the whole network to a goal for each set of groups."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np

from keras_spp.core.channels import Reason
from keras_spp.core.groups import Goals, Groups, GroupSet

# Kernels of phones and PCs compute blocks of up to 16 output channels, and a block that is partly
# used costs as much as a full one (benchmarks/latency/rounding.py).
BLOCK = 16
# A plan in whole blocks may exceed the target by this factor.
CLOSE = 1.05


class OutOfReach(ValueError):
    """The error that even the strongest pruning does not meet a target."""


class Allocation(Protocol):
    """How strongly each set is pruned, as a function of one strength for the whole network.

    `spp.prune` raises the strength until the network meets its target; the ratios must not fall
    when it rises. One that looks for its ratios by trying them is `Searching`.
    """

    def prepare(self, model: Any, groups: Groups, representative_data: Any) -> None:
        """Looks at the dense model and the user's representative data, once, before `ratios`."""

    def ratios(self, sets: list[GroupSet], strength: float) -> list[float]:
        """Returns a pruning ratio in [0, 1] for each set at a strength in [0, 1]."""


@runtime_checkable
class Searching(Allocation, Protocol):
    """An allocation that tries whole plans before it is asked for its ratios, as `spp.Search`."""

    def search(self, meet: Callable[[Allocation], Goals]) -> None:
        """Looks for the ratios; called before `ratios`.

        Args:
            meet: Returns the goals with which an allocation meets the target.
        """


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


def rounded(groups: Groups, ratios: list[float], round_to: int) -> Goals:
    """Returns the goals of these ratios, one for each set."""
    pairs = zip(groups.sets, ratios, strict=True)
    return np.array([goal(entry.size, ratio, entry.step(round_to)) for entry, ratio in pairs], int)


def meet_ratio(groups: Groups, ratio: float, allocation: Allocation, round_to: int) -> Goals:
    """Returns goals for one pruning ratio: the share of all groups, before rounding."""
    _search(allocation, lambda other: meet_ratio(groups, ratio, other, round_to))
    sizes = np.array([entry.size for entry in groups.sets])
    low, high = 0.0, 1.0
    for _ in range(50):  # so fine that a uniform ratio comes out as it was given
        middle = (low + high) / 2
        met = sizes @ allocation.ratios(groups.sets, middle) >= ratio * sizes.sum() - 1e-9
        low, high = (low, middle) if met else (middle, high)
    return rounded(groups, allocation.ratios(groups.sets, high), round_to)


def _search(allocation: Allocation, meet: Callable[[Allocation], Goals]) -> None:
    """Lets an allocation try what meets the target, if it wants to."""
    if isinstance(allocation, Searching):
        allocation.search(meet)


def meet_ratios(groups: Groups, ratios: Mapping[str, float], round_to: int) -> Goals:
    """Returns goals for ratios by layer; layers that are not named are not pruned.

    Raises:
        ValueError: For a name that is no layer with groups of its own, or for layers that share
            channels and got different ratios.
    """
    for name in ratios:
        if not any(name in entry.layers for entry in groups.sets):
            raise ValueError(f"`pruning_ratio` names {_why_not(groups, name)}.")
    wanted = []
    for entry in groups.sets:
        by_layer = {name: ratios[name] for name in entry.layers if name in ratios}
        if len(set(by_layer.values())) > 1:
            raise ValueError(
                f"`pruning_ratio` must be the same for layers that share their channels but is "
                f"{by_layer}."
            )
        wanted.append(next(iter(by_layer.values()), 0.0))
    return rounded(groups, wanted, round_to)


def _why_not(groups: Groups, name: str) -> str:
    axes = [axis for axis in groups.coupling.channels.axes.values() if axis.layer.name == name]
    prunable = sorted({layer for entry in groups.sets for layer in entry.layers})
    listed = f"the layers that can be pruned are {prunable}"
    if not axes:
        return f"{name!r}, but no layer with channels is called so: {listed}"
    written = [axis for axis in axes if axis.role == "writes"] or axes
    stopped = groups.coupling.reasons.get(int(groups.coupling.of(written[0])[0]))
    reason, detail = stopped or (Reason.UNREAD, "")
    where = f", {detail}" if detail and detail != name else ""
    return f"{name!r}, which cannot be pruned ({reason}{where}): {listed}"


def meet_speedup(
    groups: Groups,
    target: float,
    allocation: Allocation,
    round_to: int,
    whole_blocks: bool = True,
) -> Goals:
    """Returns goals that reach a speedup in the groups' cost and prune nothing it does not need.

    A uniform plan whose survivors fill whole blocks is taken, even if `round_to` would allow
    others, when it meets the target closely (see `spp.Uniform`). Allocations that look at what
    layers can do without are not bent to blocks: that costs more accuracy.

    Args:
        groups: The groups; their dense cost is greater than 0.
        target: The dense cost over the remaining one, at least 1.
        allocation: How the target is spread.
        round_to: As for `spp.prune`.
        whole_blocks: Whether plans may be bent to blocks at all.

    Raises:
        OutOfReach: If even the strongest pruning does not reach it; says how far one can go.
    """
    _search(allocation, lambda other: meet_speedup(groups, target, other, round_to, whole_blocks))
    dense = groups.dense()
    blocks = [
        entry.step(math.lcm(round_to, block(entry.size * entry.width))) for entry in groups.sets
    ]
    if (
        whole_blocks
        and groups.granularity == "channel"  # columns are no output channels: they fill no blocks
        and getattr(allocation, "whole_blocks", False)
    ):
        goals = _meet(groups, dense / target, allocation, blocks)
        if goals is not None and dense / groups.cost(goals) <= target * CLOSE:
            return goals
    goals = _meet(groups, dense / target, allocation, _steps(groups, round_to))
    if goals is not None:
        return goals
    largest = np.floor(100 * dense / groups.cost(strongest(groups, allocation, round_to))) / 100
    raise OutOfReach(
        f"`target_speedup` is {target:g} but the largest that this model can reach with "
        f"round_to={round_to} and granularity={groups.granularity!r} is {largest:g}: "
        f"spp.analyze(model) says what cannot be pruned and why."
    )


def strongest(groups: Groups, allocation: Allocation, round_to: int) -> Goals:
    """Returns the goals that leave least of what an allocation may take."""
    steps = _steps(groups, round_to)
    return _floored(groups, _wanted(groups, allocation, 1.0), steps)


def block(size: int) -> int:
    """Returns the largest power of two up to `BLOCK` of which a set holds at least two.

    Example:
        >>> block(64), block(24), block(16), block(1)
        (16, 8, 8, 1)
    """
    return min(BLOCK, 2 ** max(0, int(np.log2(size)) - 1))


def _steps(groups: Groups, round_to: int) -> list[int]:
    return [entry.step(round_to) for entry in groups.sets]


def _wanted(groups: Groups, allocation: Allocation, strength: float) -> list[float]:
    """Returns how many groups of each set should survive at a strength, at least 1."""
    ratios = allocation.ratios(groups.sets, strength)
    return [
        max(entry.size * (1 - ratio), 1.0) for entry, ratio in zip(groups.sets, ratios, strict=True)
    ]


def _floored(groups: Groups, survivors: list[float], steps: list[int]) -> Goals:
    """Returns goals that leave so many groups, rounded down to steps, at least one step."""
    trios = zip(groups.sets, survivors, steps, strict=True)
    return np.array(
        [
            max(0, entry.size - max(int(number / step + 1e-9), 1) * step)
            for entry, number, step in trios
        ],
        int,
    )


def _meet(groups: Groups, most: float, allocation: Allocation, steps: list[int]) -> Goals | None:
    """Returns goals that leave at most a cost of `most`; None if there are none."""
    all_steps = _floored(groups, _wanted(groups, allocation, 1.0), steps)
    if groups.cost(all_steps) > most:
        return None
    # The strength that would do if any number could survive ...
    low, high = 0.0, 1.0
    for _ in range(24):
        middle = (low + high) / 2
        goals = rounded(groups, allocation.ratios(groups.sets, middle), 1)
        low, high = (low, middle) if groups.cost(goals) <= most else (middle, high)
    # ... rounded down (all the way where sets of one step cannot follow), ...
    wanted = _wanted(groups, allocation, high)
    goals = _floored(groups, wanted, steps)
    if groups.cost(goals) > most:
        goals = all_steps
    # ... then back up step by step where rounding took most, as far as the target allows. Where
    # it took the same, sets that many layers read come first: a residual stream hurts most.
    readers = [sum(entry in reader.sets for reader in groups.readers) for entry in groups.sets]
    open_sets = set(range(len(groups.sets)))
    while open_sets:
        kept = {n: (groups.sets[n].size - int(goals[n])) / wanted[n] for n in open_sets}
        number = min(open_sets, key=lambda n: (round(kept[n], 6), -readers[n], n))
        fewer = goals.copy()
        fewer[number] = max(0, goals[number] - steps[number])
        if groups.cost(fewer) > most or not goals[number]:
            open_sets.remove(number)
        else:
            goals = fewer
    return goals
