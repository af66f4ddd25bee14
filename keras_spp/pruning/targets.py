"""The targets of `spp.prune` as values: each checks itself and finds the goals that meet it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from keras_spp.core import goals as allocating
from keras_spp.core.goals import Allocation
from keras_spp.core.groups import Goals
from keras_spp.devices.device import Device
from keras_spp.pruning.latency_goal import parse
from keras_spp.pruning.network import Network
from keras_spp.util.checks import check_number


class Target(Protocol):
    """What `spp.prune` is to reach."""

    @property
    def in_macs(self) -> bool:
        """Whether it counts MACs, so that data can tell where to save them."""

    @property
    def speedup(self) -> float | None:
        """The speedup in MACs, if it is one."""

    def check(self, granularity: str) -> None:
        """Raises TypeError or ValueError if the target makes no sense, or not with these groups."""

    def meet(
        self, network: Network, allocation: Allocation, representative_data: Any, round_to: int
    ) -> Goals:
        """Returns the goals that meet the target; raises ValueError if it is out of reach."""


@dataclass(frozen=True)
class Ratio:
    """A share of all groups."""

    ratio: float
    in_macs: ClassVar[bool] = False
    speedup: ClassVar[float | None] = None

    def check(self, granularity: str) -> None:
        """Raises TypeError or ValueError if the ratio is none."""
        _check_ratio("pruning_ratio", self.ratio)

    def meet(
        self, network: Network, allocation: Allocation, representative_data: Any, round_to: int
    ) -> Goals:
        """Returns goals that prune the share; warns if they are all 0."""
        groups = network.groups
        allocation.prepare(network.model, groups, representative_data)
        goals = allocating.meet_ratio(groups, float(self.ratio), allocation, round_to)
        if self.ratio and not goals.any():
            _warn_of_rounding(self.ratio, [entry.name for entry in groups.sets], round_to)
        return goals


@dataclass(frozen=True)
class Ratios:
    """Shares of the groups of single layers, by their names."""

    ratios: Mapping[str, float]
    in_macs: ClassVar[bool] = False
    speedup: ClassVar[float | None] = None

    def check(self, granularity: str) -> None:
        """Raises TypeError or ValueError if a ratio is none."""
        for name, ratio in self.ratios.items():
            _check_ratio(f"pruning_ratio[{name!r}]", ratio)

    def meet(
        self, network: Network, allocation: Allocation, representative_data: Any, round_to: int
    ) -> Goals:
        """Returns goals that prune these layers; warns if one of them is 0."""
        groups = network.groups
        allocation.prepare(network.model, groups, representative_data)
        goals = allocating.meet_ratios(groups, self.ratios, round_to)
        spared = [
            entry.name
            for entry, goal in zip(groups.sets, goals, strict=True)
            if not goal and any(map(self.ratios.get, set(self.ratios).intersection(entry.layers)))
        ]
        if spared:
            _warn_of_rounding(self.ratios, spared, round_to)
        return goals


@dataclass(frozen=True)
class Speedup:
    """Dense MACs over remaining MACs."""

    speedup: float
    in_macs: ClassVar[bool] = True

    def check(self, granularity: str) -> None:
        """Raises TypeError or ValueError if the speedup is none."""
        check_number("target_speedup", self.speedup, 1, 1e12, "a number of at least 1")

    def meet(
        self, network: Network, allocation: Allocation, representative_data: Any, round_to: int
    ) -> Goals:
        """Returns goals that leave few enough MACs."""
        network.check_size("target_speedup")
        allocation.prepare(network.model, network.groups, representative_data)
        if not network.groups.dense():
            raise ValueError(
                f"`target_speedup` is {float(self.speedup):g} but there are no MACs to count with "
                f"counted={network.counted!r}: give pruning_ratio instead."
            )
        return allocating.meet_speedup(network.groups, float(self.speedup), allocation, round_to)


@dataclass(frozen=True)
class Latency:
    """A share of the latency of the dense model's file on a device, or a time like "12ms"."""

    latency: float | str
    device: Device
    in_macs: ClassVar[bool] = True
    speedup: ClassVar[float | None] = None

    def check(self, granularity: str) -> None:
        """Raises ValueError if the latency is none, or if columns are to be pruned."""
        parse(self.latency)
        if granularity == "column":
            raise ValueError(
                '`granularity` must be "channel" with target_latency but is "column": what packed '
                "columns gain is measured by export_tflite only."
            )

    def meet(
        self, network: Network, allocation: Allocation, representative_data: Any, round_to: int
    ) -> Goals:
        """Returns goals with which the file takes the time; warns if none come close."""
        # What reads and writes files of TFLite is needed for this target, and for no other.
        from keras_spp.pruning.target_latency import meet_latency

        network.check_size("target_latency")
        return meet_latency(
            network, self.latency, allocation, representative_data, round_to, self.device
        )


def one_of(
    pruning_ratio: float | Mapping[str, float] | None,
    target_speedup: float | None,
    target_latency: float | str | None,
    device: Device,
) -> Target:
    """Returns the one target that is given.

    Raises:
        ValueError: If there is none, or more than one.
    """
    values = {
        "pruning_ratio": pruning_ratio,
        "target_speedup": target_speedup,
        "target_latency": target_latency,
    }
    targets = {name: value for name, value in values.items() if value is not None}
    if len(targets) != 1:
        got = " and ".join(f"{name}={value!r}" for name, value in targets.items()) or "none"
        raise ValueError(
            f"`pruning_ratio`, `target_speedup` and `target_latency` exclude each other but are "
            f"given as {got}: give one of them."
        )
    if target_speedup is not None:
        return Speedup(target_speedup)
    if target_latency is not None:
        return Latency(target_latency, device)
    if isinstance(pruning_ratio, Mapping):
        return Ratios(pruning_ratio)
    assert pruning_ratio is not None
    return Ratio(pruning_ratio)


def _check_ratio(name: str, ratio: Any) -> None:
    check_number(name, ratio, 0, 1 - 1e-9, "a number in [0, 1)")


def _warn_of_rounding(ratio: Any, spared: list[str], round_to: int) -> None:
    warnings.warn(
        f"prune: `pruning_ratio` {ratio} comes to no channel or column of {spared} that "
        f"round_to={round_to} lets go, so nothing of them will be pruned: raise it or lower "
        f"round_to.",
        stacklevel=5,  # of spp.prune's caller
    )
