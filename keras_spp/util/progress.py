"""Progress of what takes long: one bar where somebody is looking, one line in a log."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Protocol, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

_T = TypeVar("_T")
_PAUSE, _RECENT = 0.1, 600.0  # seconds: between two looks of a bar, and what tells its speed


class Work:
    """Work under way, which may be part of other work.

    Only the outermost work is shown: what others do in one of its parts moves its bar by the size
    of the part.

    Args:
        total: Its size, in units of its own.
        around: The work that this is part of, or what shows it.
    """

    def __init__(self, total: float, around: Work | _Display) -> None:
        self.total, self.done = max(float(total), 1e-9), 0.0
        self._around, self._part = around, 0.0

    def advance(self, size: float = 1.0) -> None:
        """Says that so much more is done."""
        self.reach(self.done + size)

    def reach(self, done: float) -> None:
        """Says how much is done in all."""
        self.done = min(done, self.total)
        self._tell(self.done)

    @contextlib.contextmanager
    def part(self, size: float = 1.0) -> Iterator[None]:
        """Makes the work in the block a part of this size."""
        outer, self._part = self._part, size
        try:
            yield
        finally:
            self._part = outer
        self.advance(size)

    def inside(self, share: float) -> None:
        """Says what share of the part under way is done."""
        self._tell(min(self.done + share * self._part, self.total))

    def _tell(self, done: float) -> None:
        self._around.inside(done / self.total)


class _Display(Protocol):
    """What shows the outermost work."""

    def inside(self, share: float) -> None:
        """Shows that a share of all is done."""


_around: ContextVar[Work | _Display | None] = ContextVar("_around", default=None)
_console: ContextVar[Console | None] = ContextVar("_console", default=None)


@contextlib.contextmanager
def work(what: str, total: float, verbose: int = 1) -> Iterator[Work]:
    """Shows the progress of the block, on stderr, if no other work is around it.

    In a terminal or a notebook that is a bar with the time left. Elsewhere it is one line when the
    block ends, without control characters.

    Args:
        what: What is done, such as "search".
        total: How much there is to do, in any unit; less may turn out to be enough.
        verbose: 0 shows nothing, neither of this work nor of what is part of it.

    Yields:
        The work, to be told how far it is.

    Example:
        >>> with work("count", 3, verbose=0) as counting:
        ...     for _ in range(3):
        ...         counting.advance()
        >>> counting.done
        3.0
    """
    around = _around.get()
    if around is None:
        with _displayed(what) if verbose else contextlib.nullcontext(_Nothing()) as display:
            yield from _counted(total, display)
    else:
        yield from _counted(total, around)


def _counted(total: float, around: Work | _Display) -> Iterator[Work]:
    this = Work(total, around)
    with _set(_around, this):
        yield this
    this.reach(this.total)


@contextlib.contextmanager
def shown(verbose: int) -> Iterator[None]:
    """Shows nothing of the work in the block if `verbose` is 0."""
    if verbose or _around.get() is not None:
        yield
        return
    with _set(_around, _Nothing()):
        yield


@contextlib.contextmanager
def shown_on(console: Console) -> Iterator[None]:
    """Shows the work in the block on a console of the caller's, instead of stderr."""
    with _set(_console, console):
        yield


@contextlib.contextmanager
def _set(variable: ContextVar[_T], value: _T) -> Iterator[None]:
    """Gives a variable a value in the block."""
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


@contextlib.contextmanager
def _displayed(what: str) -> Iterator[_Display]:
    console = _console.get() or Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    # The time left is what the last minutes say: single steps may take one. Drawn between steps
    # and not by a thread, which would slow down what is timed.
    bar = Progress(*columns, console=console, auto_refresh=False, speed_estimate_period=_RECENT)
    if console.is_jupyter:
        from IPython.display import display

        # Unlike the output of a widget, that of a display stays in a notebook that is saved.
        yield _Bar(bar, what, display(bar, display_id=True).update)
    elif console.is_terminal and not console.is_dumb_terminal:
        with bar:
            yield _Bar(bar, what, lambda _: bar.refresh())
    else:
        start = time.monotonic()
        yield _Nothing()
        took = _seconds(time.monotonic() - start)
        console.print(f"{what}: {took}", markup=False, highlight=False, soft_wrap=True)


class _Bar:
    """A bar in a terminal or a notebook.

    Args:
        progress: What renders it.
        what: What is written before it.
        draw: Draws it where it is shown.
    """

    def __init__(self, progress: Progress, what: str, draw: Callable[[Progress], None]) -> None:
        self._progress, self._draw = progress, draw
        self._task = progress.add_task(what, total=1.0)
        self._drawn = time.monotonic()
        draw(progress)

    def inside(self, share: float) -> None:
        """Moves the bar, and draws it now and then."""
        self._progress.update(self._task, completed=share)
        now = time.monotonic()
        if now - self._drawn >= _PAUSE or share >= 1:
            self._drawn = now
            self._draw(self._progress)


class _Nothing:
    """Shows nothing."""

    def inside(self, share: float) -> None:
        """Does nothing."""


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
