"""`target_latency`: goals that a device confirms, by timing what would be left."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import tf_keras as keras

from keras_spp.core.goals import Allocation, meet_speedup
from keras_spp.core.groups import Groups
from keras_spp.devices.device import Device
from keras_spp.export.tflite import export_tflite
from keras_spp.frameworks.tf_keras.signature import Sizes, input_keys
from keras_spp.pruning.latency_table import Prices, input_shapes
from keras_spp.util.files import temporary_folder

CLOSE = 0.03  # a plan this close to the target needs no better one: timing is no more exact
TRIES = 7
_MILLISECONDS = re.compile(r"(\d+(?:\.\d+)?) ?ms")


def parse(target: Any) -> tuple[float, bool]:
    """A target's number, and whether it is a ratio; otherwise it is in milliseconds.

    Raises:
        ValueError: If it is neither a number in (0, 1) nor a time like "12ms".

    Example:
        >>> parse(0.5), parse("12.5ms")
        ((0.5, True), (12.5, False))
    """
    if isinstance(target, str) and (found := _MILLISECONDS.fullmatch(target.strip())):
        if float(found[1]) > 0:
            return float(found[1]), False
    elif isinstance(target, float) and 0 < target < 1:
        return target, True
    raise ValueError(
        '`target_latency` must be a share of the latency now, in (0, 1), or a time like "12ms" '
        f"but is {target!r}."
    )


def meet_latency(
    model: keras.Model,
    groups: Groups,
    target: float | str,
    allocation: Allocation,
    representative_data: Any,
    round_to: int,
    device: Device,
    small: Callable[[], keras.Model],
    sizes: Sequence[Sizes] | None = None,
) -> None:
    """Goals with which the small model takes the target's time on a device.

    Layers timed alone say what pruning each set would save, and so where to prune. Timing the
    whole network, as float32 and beside the dense one, says how much: fusion, memory and what has
    no channels are in no table.

    Args:
        model: The model.
        groups: Its groups, which get their goals and a price.
        target: As `parse` takes it.
        allocation: How the target is spread.
        representative_data: What the allocation looks at.
        round_to: As for `prune`.
        device: Where to measure.
        small: Makes the model that the goals would leave.
        sizes: Those of each input without the batch; None for what the model declares.

    Raises:
        ValueError: If the target is out of reach, or is met already.
    """
    number, is_ratio = parse(target)
    shapes = None if sizes is None else input_shapes(model, sizes)
    groups.price = Prices(groups.coupling, device, shapes)
    given: Any = None if sizes is None else dict(zip(input_keys(model), sizes, strict=True))
    allocation.prepare(model, groups, representative_data)

    with temporary_folder() as folder:
        files = {name: folder / f"{name}.tflite" for name in ("dense", "small")}
        export_tflite(model, files["dense"], pack=False, input_shape=given)

        def measure() -> float:
            """The small model's latency over the target."""
            export_tflite(small(), files["small"], pack=False, input_shape=given)
            row = device.time(files)[1]
            return (1 / row.ratio if is_ratio else row.median_ms) / number

        before = (1.0 if is_ratio else device.time(files["dense"])[0].median_ms) / number
        if before <= 1:
            raise ValueError(
                f"`target_latency` is {target!r} but the model takes no longer than that now."
            )
        _search(groups, target, allocation, round_to, before, measure)


def _search(
    groups: Groups,
    target: float | str,
    allocation: Allocation,
    round_to: int,
    before: float,
    measure: Callable[[], float],
) -> None:
    """Sets the goals whose measured latency is nearest to the target."""

    def plan(share: float) -> bool:
        """Whether there are goals that leave so much of the priced latency."""
        try:
            meet_speedup(groups, 1 / share, allocation, round_to)
        except ValueError:  # the strongest goals there are have been set
            return False
        return True

    tried = {1.0: before}  # share of the priced latency -> measured, over the target
    share, goals = 1 / before, []
    for _ in range(TRIES):
        possible = plan(share)
        tried[share] = measure()
        goals.append((tried[share], [entry.goal for entry in groups.sets]))
        if abs(tried[share] - 1) <= CLOSE:
            break
        if not possible and tried[share] > 1:
            raise ValueError(
                f"`target_latency` is {target!r} but the strongest pruning that leaves round_to="
                f"{round_to} takes {tried[share]:.2f} times as long: give a longer one."
            )
        share = _next(tried)
    latency, best = min(goals, key=lambda each: abs(each[0] - 1))
    for entry, goal in zip(groups.sets, best, strict=True):
        entry.goal = goal
    if abs(latency - 1) > 2 * CLOSE:
        warnings.warn(
            f"prune: what comes nearest to target_latency={target!r} takes {latency:.2f} times as "
            f"long: a smaller round_to allows finer steps.",
            stacklevel=4,
        )


def _next(tried: dict[float, float]) -> float:
    """The share to try next, between the nearest ones around the target.

    Where a line through both meets the target; halfway, if that has landed on one side twice.
    """
    above = min((share for share in tried if tried[share] > 1), default=1.0)
    below = max((share for share in tried if tried[share] <= 1), default=0.0)
    *_, before, last = (each > 1 for each in tried.values())
    if len(tried) > 2 and before == last:
        return (below + above) / 2
    return below + (above - below) * (1 - tried.get(below, 0.0)) / (
        tried[above] - tried.get(below, 0.0)
    )
