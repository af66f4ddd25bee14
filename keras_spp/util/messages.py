"""Parts of sentences: what an error or a program said, made short; examples of what to give."""

from __future__ import annotations

from collections.abc import Sequence

LENGTH = 200


def first_line(said: object) -> str:
    r"""The first line, without its full stop; the class of an error that says nothing.

    Example:
        >>> first_line(ValueError("Shapes differ.\nTraceback follows"))
        'Shapes differ'
    """
    lines = _lines(said)
    return _short(lines[0]) if lines else type(said).__name__


def last_line(said: str, otherwise: str = "no answer") -> str:
    r"""The last line, without its full stop: programs put there what stopped them.

    Example:
        >>> last_line("copying\nNo space left on device.\n")
        'No space left on device'
    """
    lines = _lines(said)
    return _short(lines[-1]) if lines else otherwise


def layer_cause(error: Exception) -> str:
    """What a layer complains of: Keras puts where it happened before it, and more behind."""
    lines = _lines(error)
    said = (line for line in reversed(lines) if "Error: " in line)
    return next(said, lines[-1] if lines else type(error).__name__)[:LENGTH]


def example_sizes(declared: Sequence[int | None]) -> tuple[int, ...]:
    """Returns sizes that could be given where some are open.

    Example:
        >>> example_sizes((None, None, 3))
        (32, 32, 3)
    """
    return tuple(size or 32 for size in declared)


def _lines(said: object) -> list[str]:
    return [line.strip() for line in str(said).splitlines() if line.strip()]


def _short(line: str) -> str:
    return line[:LENGTH].rstrip(".")
