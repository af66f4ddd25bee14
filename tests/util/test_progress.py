"""What is seen of long work in a terminal, in a log and in a notebook."""

import io
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from rich.console import Console

from keras_spp.util import progress
from tests.helpers.consoles import bars, log, percentages, terminal, text

ROOT = Path(__file__).parents[2]


@pytest.fixture
def every_step(monkeypatch):
    """Draws at every step, not ten times a second."""
    monkeypatch.setattr(progress, "_PAUSE", 0.0)


# --- in a terminal ---


@pytest.mark.usefixtures("every_step")
def test_a_terminal_has_a_bar_that_fills_up():
    console = terminal()
    with progress.shown_on(console), progress.work("search", 4) as work:
        for _ in range(4):
            work.advance()
    assert list(dict.fromkeys(percentages(console))) == [0, 25, 50, 75, 100]
    assert "search" in text(console) and "\x1b[" in text(console)
    assert text(console).endswith("\n\x1b[?25h")  # the cursor is back


@pytest.mark.usefixtures("every_step")
def test_a_terminal_has_the_time_left(monkeypatch):
    console = terminal()
    now = 0.0
    monkeypatch.setattr(console, "get_time", lambda: now)
    with progress.shown_on(console), progress.work("search", 10) as work:
        for _ in range(5):
            now += 60.0
            work.advance()
        assert "0:05:00" in text(console)


def test_a_bar_is_not_drawn_more_often_than_one_can_see():
    console = terminal()
    with progress.shown_on(console), progress.work("search", 100_000) as work:
        for _ in range(100_000):
            work.advance()
    assert 2 <= len(percentages(console)) < 1000


@pytest.mark.usefixtures("every_step")
def test_work_that_ends_early_is_done():
    console = terminal()
    with progress.shown_on(console), progress.work("search", 100) as work:
        work.advance()
    assert percentages(console)[-1] == 100


@pytest.mark.usefixtures("every_step")
def test_work_that_fails_is_not_done_and_leaves_the_terminal_as_it_was():
    console = terminal()
    with (
        pytest.raises(KeyboardInterrupt),
        progress.shown_on(console),
        progress.work("search", 4) as work,
    ):
        work.advance()
        raise KeyboardInterrupt
    assert percentages(console)[-1] == 25
    assert text(console).endswith("\n\x1b[?25h")


# --- one bar for all of it ---


@pytest.mark.usefixtures("every_step")
def test_work_in_a_part_moves_the_one_bar_by_the_size_of_the_part():
    console = terminal()
    with progress.shown_on(console), progress.work("compress", 10) as whole:
        with whole.part(8), progress.work("search", 2) as search:
            for _ in range(2):
                with search.part(), progress.work("plan", 2) as plan:
                    plan.advance()
                    plan.advance()
        with whole.part(2):
            pass  # what shows no steps of its own
    assert sorted(set(percentages(console))) == [0, 20, 40, 60, 80, 100]
    assert percentages(console) == sorted(percentages(console))
    assert bars(console) == {"compress"}


@pytest.mark.usefixtures("every_step")
def test_work_beside_the_parts_moves_nothing():
    console = terminal()
    with progress.shown_on(console), progress.work("search", 2) as whole:
        whole.advance()
        with progress.work("compensate", 3) as inner:
            inner.advance(2)
        assert percentages(console)[-1] == 50


@pytest.mark.usefixtures("every_step")
def test_an_attempt_that_starts_again_begins_anew():
    console = terminal()
    with progress.shown_on(console), progress.work("benchmark", 1.0) as timing:
        timing.reach(0.5)
        timing.reach(0.1)
        assert percentages(console)[-1] == 10


# --- in a log ---


def test_a_log_has_one_line_at_the_end():
    console = log()
    with progress.shown_on(console), progress.work("a [long] name of a search", 3) as work:
        for _ in range(3):
            work.advance()
        assert text(console) == ""
    assert re.fullmatch(r"a \[long\] name of a search: 0\.\d s\n", text(console))


def test_a_log_has_one_line_for_work_with_parts():
    console = log()
    with progress.shown_on(console), progress.work("compress", 1) as whole:
        for _ in range(2):
            with whole.part(0.5), progress.work("search", 1, verbose=1):
                pass
    assert text(console).count("\n") == 1


def test_a_log_has_nothing_of_work_that_fails():
    console = log()
    with pytest.raises(ValueError), progress.shown_on(console), progress.work("search", 3):
        raise ValueError
    assert text(console) == ""


@pytest.mark.parametrize("term", ["xterm-256color", "dumb"])
def test_a_pipe_has_one_line_on_stderr_without_control_characters(term):
    code = (
        "from keras_spp.util.progress import work\n"
        "with work('search', 3) as search:\n"
        "    for _ in range(3): search.advance()\n"
        "print('done')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(ROOT), "TERM": term},
        capture_output=True,
        check=True,
    )
    assert done.stdout == b"done\n"
    assert re.fullmatch(rb"search: 0\.\d s\n", done.stderr)


def test_a_terminal_that_cannot_move_its_cursor_is_a_log(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    console = terminal()
    with progress.shown_on(console), progress.work("search", 3):
        pass
    assert "%" not in text(console) and text(console).count("\n") == 1


# --- in a notebook ---


class Cell:
    """What a notebook shows of one display."""

    def __init__(self):
        self.shown = []

    def display(self, thing, display_id=False):
        assert display_id, "what has no id cannot be updated"
        self.update(thing)
        return self

    def update(self, thing):
        self.shown.append(thing._repr_mimebundle_([], [])["text/html"])


@pytest.mark.usefixtures("every_step")
def test_a_notebook_has_one_bar_that_is_updated(monkeypatch):
    cell = Cell()
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", cell)
    notebook = Console(force_jupyter=True, file=io.StringIO())
    with progress.shown_on(notebook), progress.work("search", 4) as work:
        for _ in range(4):
            work.advance()
    assert all("search" in html for html in cell.shown[1:])
    shown = [re.search(r"(\d+)%", html)[1] for html in cell.shown[1:]]
    assert list(dict.fromkeys(shown)) == ["0", "25", "50", "75", "100"]
    assert text(notebook) == ""


# --- nothing ---


@pytest.mark.parametrize("make", [terminal, log])
def test_nothing_is_shown_without_verbose(make):
    console = make()
    with progress.shown_on(console):
        with progress.work("search", 3, verbose=0) as work:
            work.advance()
            with progress.work("compensate", 3, verbose=1) as inner:
                inner.advance()
        with progress.shown(0), progress.work("search", 3, verbose=1) as work:
            work.advance()
    assert text(console) == ""


def test_the_outermost_work_decides():
    console = log()
    with (
        progress.shown_on(console),
        progress.work("compress", 3, verbose=1),
        progress.shown(0),
        progress.work("search", 3, verbose=0),
    ):
        pass
    assert text(console).startswith("compress: ")


def test_what_is_around_a_failure_is_forgotten():
    console = log()
    with progress.shown_on(console):
        for verbose in (0, 1):
            with pytest.raises(ValueError), progress.work("search", 3, verbose):
                raise ValueError
        with progress.work("compensate", 3):
            pass
    assert text(console).startswith("compensate: ")
