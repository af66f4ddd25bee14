"""A latency as the user names it: a share of the one now, or a time."""

from __future__ import annotations

import re
from typing import Any

_MILLISECONDS = re.compile(r"(\d+(?:\.\d+)?) ?ms")


def parse(target: Any) -> tuple[float, bool]:
    """Returns a target's number, and whether it is a ratio; otherwise it is in milliseconds.

    Raises:
        ValueError: If it is neither a number in (0, 1) nor a time like "12ms".

    Example:
        >>> parse(0.5), parse("12.5ms")
        ((0.5, True), (12.5, False))
    """
    if isinstance(target, str) and (match := _MILLISECONDS.fullmatch(target.strip())):
        if float(match[1]) > 0:
            return float(match[1]), False
    elif isinstance(target, float) and 0 < target < 1:
        return target, True
    raise ValueError(
        '`target_latency` must be a share of the latency now, in (0, 1), or a time like "12ms" '
        f"but is {target!r}."
    )
