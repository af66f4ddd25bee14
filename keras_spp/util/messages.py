"""Parts of messages: the main line of an error or a program's output, and example sizes."""

from __future__ import annotations

import re
from collections.abc import Sequence

LENGTH = 200
# How Keras 3 sets a cause apart: in bold, or behind the object that it could not make.
_SET_APART = re.compile(r"\x1b\[1m(.+?)\x1b\[0m|Exception encountered: (.+)", re.DOTALL)


def first_line(source: object) -> str:
    r"""Returns the first line, without its full stop; the class of an error without a message.

    Example:
        >>> first_line(ValueError("Shapes differ.\nTraceback follows"))
        'Shapes differ'
    """
    lines = _lines(source)
    return _short(lines[0]) if lines else type(source).__name__


def last_line(output: str, otherwise: str = "no answer") -> str:
    r"""Returns the last line, without its full stop: programs put there what stopped them.

    Example:
        >>> last_line("copying\nNo space left on device.\n")
        'No space left on device'
    """
    lines = _lines(output)
    return _short(lines[-1]) if lines else otherwise


def layer_cause(error: BaseException) -> str:
    """Returns the cause in a layer's error: Keras wraps it in places before and details behind."""
    if apart := _SET_APART.findall(str(error)):
        return first_line(next(filter(None, apart[-1])))
    lines = _lines(error)
    causes = (line for line in reversed(lines) if "Error: " in line)
    return next(causes, lines[-1] if lines else type(error).__name__)[:LENGTH]


def example_sizes(declared: Sequence[int | None]) -> tuple[int, ...]:
    """Returns example sizes, with 32 for each one that is open.

    Example:
        >>> example_sizes((None, None, 3))
        (32, 32, 3)
    """
    return tuple(size or 32 for size in declared)


def _lines(source: object) -> list[str]:
    return [line.strip() for line in str(source).splitlines() if line.strip()]


def _short(line: str) -> str:
    return line[:LENGTH].rstrip(".")
