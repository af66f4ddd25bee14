"""Checks of numbers that users give, with one kind of message."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any


def check_number(name: str, value: Any, low: float, high: float, what: str) -> None:
    """Raises ValueError unless the value is a real number in [low, high], which `what` describes.

    Example:
        >>> check_number("u", 0.7, 0, 0.5, "a number in [0, 0.5]")
        Traceback (most recent call last):
        ValueError: `u` must be a number in [0, 0.5] but is 0.7.
    """
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number or not low <= value <= high:  # no float(): an int may be too large for it
        raise ValueError(f"`{name}` must be {what} but is {value!r}.")


def check_integer(name: str, value: Any, least: int, also: str = "") -> None:
    """Raises ValueError unless the value is an integer of at least `least`.

    Example:
        >>> check_integer("seed", -1, 0)
        Traceback (most recent call last):
        ValueError: `seed` must be an integer of at least 0 but is -1.
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or int(value) < least:
        raise ValueError(f"`{name}` must be {also}an integer of at least {least} but is {value!r}.")
