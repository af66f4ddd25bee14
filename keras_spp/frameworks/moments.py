"""What optimizers of both Keras keep of a weight, when the weight becomes another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Under these names they keep averages or sums of squared gradients, by which steps are divided.
GRADIENT_SIZES = frozenset({
    "_accumulated_delta_vars", "_accumulated_grads", "_accumulators", "_c", "_r", "_u", "_v",
    "_velocities", "_velocity_hats",
})  # fmt: skip


def begin_anew(kept: Mapping[str, Any], first: Mapping[str, Any]) -> None:
    """Puts what is kept back to what an optimizer begins with, but for the sizes of gradients.

    Adam, whose step counter goes on, would take these for averages over all steps until now and
    make steps some 6 times as large for a while.

    Args:
        kept: The variables of the optimizer, by name.
        first: Those of one that has not made a step.
    """
    for name, variable in kept.items():
        if name not in GRADIENT_SIZES:
            variable.assign(first[name])
