"""Numbers as people read them."""

from __future__ import annotations

import math


def short(number: float) -> str:
    """Returns a count in three digits.

    Example:
        >>> short(41_234_567), short(999_600), short(512)
        ('41.2 M', '1 M', '512')
    """
    for unit, name in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(number) >= unit * 0.9995:
            return f"{number / unit:.3g}{name}"
    return f"{number:.3g}"


def size(bytes_: float) -> str:
    """Returns a size of a file or of weights.

    Example:
        >>> size(1_234_567), size(900)
        ('1.23 MB', '900 B')
    """
    number, _, unit = short(bytes_).partition(" ")
    return f"{number} {unit}B"


def share(part: float | None) -> str:
    """Returns a share in percent, nothing for one that is not known.

    Example:
        >>> share(0.9978), share(None)
        ('99.8 %', '')
    """
    return "" if part is None or math.isnan(part) else f"{part:.1%}".replace("%", " %")


def middle(text: str, most: int) -> str:
    """Returns a name that is not too long, its middle left out if need be.

    Example:
        >>> middle("conv2_block1_1_conv", 11)
        'conv2…_conv'
    """
    if len(text) <= most:
        return text
    left = (most - 1) // 2
    return f"{text[:left]}…{text[len(text) - (most - 1 - left) :]}"


def beginning(text: str, most: int) -> str:
    """Returns a text that is not too long, its end left out if need be.

    Example:
        >>> beginning("reshaped in a way", 9)
        'reshaped…'
    """
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"
