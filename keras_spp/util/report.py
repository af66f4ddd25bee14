"""The base class of reports: a sequence of rows that prints as a table."""

from __future__ import annotations

import io
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

_Row = TypeVar("_Row")
WIDTH = 80  # of a table, where no terminal says another one


class Columns(Table):
    """A table that fits the width: words are folded where they are too long, numbers are not cut.

    Args:
        title: What is above it.
        caption: What is below it.
        footer: Whether the last row is that of the footers.
    """

    def __init__(self, title: str = "", caption: str = "", footer: bool = False) -> None:
        super().__init__(
            title=escape(title) or None,
            caption=escape(caption) or None,
            box=SIMPLE_HEAD,
            pad_edge=False,
            collapse_padding=True,
            show_footer=footer,
        )

    def words(self, *titles: str, footer: str = "") -> None:
        """Adds columns of words."""
        for title in titles:
            self.add_column(title, footer, overflow="fold")

    def numbers(self, *titles: str, footer: str = "") -> None:
        """Adds columns of numbers."""
        for title in titles:
            self.add_column(title, footer, justify="right", no_wrap=True)

    def row(self, *cells: str) -> None:
        """Adds a row."""
        self.add_row(*map(escape, cells))


class Rows(Sequence[_Row]):
    """A report: a sequence of entries, which are dataclasses.

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
        """Returns plain Python values, ready for JSON."""

    @abstractmethod
    def __rich__(self) -> Table:
        """Returns the table that rich prints."""

    def __str__(self) -> str:
        return as_text(self)


def as_text(renderable: Any, width: int = WIDTH) -> str:
    """Renders a rich object as plain text."""
    # In a notebook a console would also show what it captures.
    console = Console(file=io.StringIO(), width=width, color_system=None, force_jupyter=False)
    with console.capture() as capture:
        console.print(renderable)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())
