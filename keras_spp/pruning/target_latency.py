"""`target_latency`: goals that a device confirms, by timing what would be left."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from keras_spp import frameworks
from keras_spp.core.goals import Allocation, OutOfReach, meet_speedup, strongest
from keras_spp.core.groups import Goals, Groups
from keras_spp.devices.device import Device
from keras_spp.export.elsewhere import kept_open
from keras_spp.export.tflite import export_to_time
from keras_spp.pruning.latency_goal import parse
from keras_spp.pruning.latency_table import LatencyTable
from keras_spp.pruning.network import Network
from keras_spp.shrinking.cut import shrunk_to
from keras_spp.util import progress
from keras_spp.util.files import temporary_folder

CLOSE = 0.03  # a plan this close to the target needs no better one: timing is no more exact
TRIES = 7
TABLE, PLAN = 10.0, 1.0  # how long those take, where a try takes 1


def meet_latency(
    network: Network,
    target: float | str,
    allocation: Allocation,
    representative_data: Any,
    round_to: int,
    device: Device,
) -> Goals:
    """Returns goals with which the small model takes the target's time on a device.

    Layers timed alone say what pruning each set would save, and so where to prune. Timing the
    whole network, as float32 and beside the dense one, says how much: fusion, memory and what has
    no channels are in no table.

    Args:
        network: The model and its groups.
        target: As `parse` takes it.
        allocation: How the target is spread.
        representative_data: What the allocation looks at.
        round_to: As for `prune`.
        device: Where to measure.

    Raises:
        ValueError: If the target is out of reach, or is met already.
    """
    with kept_open(), progress.work("target_latency", TABLE + PLAN + TRIES) as whole:
        return _meet(network, target, allocation, representative_data, round_to, device, whole)


def _meet(
    network: Network,
    target: float | str,
    allocation: Allocation,
    representative_data: Any,
    round_to: int,
    device: Device,
    whole: progress.Work,
) -> Goals:
    number, is_ratio = parse(target)
    model, sizes, coupling = network.model, network.sizes, network.groups.coupling
    framework = frameworks.of(model)
    with whole.part(TABLE):
        table = LatencyTable(coupling, device, framework.input_shapes(model, sizes), framework)
    groups = network.groups.priced(table)
    shape: Any = None
    if sizes is not None:
        shape = dict(zip(framework.input_keys(model), sizes, strict=True))
    with whole.part(PLAN):
        allocation.prepare(model, groups, representative_data)

    with temporary_folder() as folder:
        files = {name: folder / f"{name}.tflite" for name in ("dense", "small")}
        export_to_time(model, files["dense"], shape)

        def measure(goals: Goals) -> float:
            """Returns the small model's latency over the target."""
            with whole.part():
                small = shrunk_to(model, coupling, groups.dead(goals))
                export_to_time(small, files["small"], shape)
                row = device.time(files)[1]
            return (1 / row.ratio if is_ratio else row.median_ms) / number

        before = (1.0 if is_ratio else device.time(files["dense"])[0].median_ms) / number
        if before <= 1:
            raise ValueError(
                f"`target_latency` is {target!r} but the model takes no longer than that now."
            )
        return _search(groups, target, allocation, round_to, before, measure)


def _search(
    groups: Groups,
    target: float | str,
    allocation: Allocation,
    round_to: int,
    before: float,
    measure: Callable[[Goals], float],
) -> Goals:
    """Returns the goals whose measured latency is nearest to the target."""

    def plan(share: float) -> tuple[Goals, bool]:
        """Returns goals, and whether they leave so little of the latency by the table."""
        try:
            # The target is hit by small steps, not by whole blocks.
            return meet_speedup(groups, 1 / share, allocation, round_to, whole_blocks=False), True
        except OutOfReach:
            return strongest(groups, allocation, round_to), False

    tried = {1.0: before}  # share of the latency by the table -> measured, over the target
    share, plans = 1 / before, []
    for _ in range(TRIES):
        goals, possible = plan(share)
        tried[share] = measure(goals)
        plans.append((tried[share], goals))
        if abs(tried[share] - 1) <= CLOSE:
            break
        if not possible and tried[share] > 1:
            raise ValueError(
                f"`target_latency` is {target!r} but the strongest pruning that leaves round_to="
                f"{round_to} takes {tried[share]:.2f} times as long: give a longer one."
            )
        share = _next(tried)
    latency, best = min(plans, key=lambda plan: abs(plan[0] - 1))
    if abs(latency - 1) > 2 * CLOSE:
        warnings.warn(
            f"prune: what comes nearest to target_latency={target!r} takes {latency:.2f} times as "
            f"long: a smaller round_to allows finer steps.",
            stacklevel=5,  # of spp.prune's caller
        )
    return best


def _next(tried: dict[float, float]) -> float:
    """Returns the share to try next, between the nearest ones around the target.

    That is where a line through both meets the target; halfway, if that has landed on one side
    twice.
    """
    above = min((share for share in tried if tried[share] > 1), default=1.0)
    below = max((share for share in tried if tried[share] <= 1), default=0.0)
    *_, before, last = (latency > 1 for latency in tried.values())
    if len(tried) > 2 and before == last:
        return (below + above) / 2
    return below + (above - below) * (1 - tried.get(below, 0.0)) / (
        tried[above] - tried.get(below, 0.0)
    )
