"""What reports have in common: rows that are a sequence, a table and plain data."""

from __future__ import annotations

import io
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

_Row = TypeVar("_Row")


class Rows(Sequence[_Row]):
    """A report: the sequence of its entries, each of them a dataclass.

    Attributes:
        entries: The rows.
    """

    entries: tuple[_Row, ...]

    def __getitem__(self, index: Any) -> Any:
        return self.entries[index]

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The entries as dicts: `pandas.DataFrame(report.rows)` works."""
        return [asdict(entry) for entry in self.entries]  # type: ignore[call-overload]

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Plain Python values, ready for JSON."""

    @abstractmethod
    def __rich__(self) -> Table:
        """The table."""

    def __str__(self) -> str:
        return as_text(self)


def as_text(renderable: Any, width: int = 120) -> str:
    """A rich object as plain text."""
    console = Console(file=io.StringIO(), width=width, color_system=None)
    with console.capture() as capture:
        console.print(renderable)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())
