"""Where progress is seen: a terminal and a log, both kept as text."""

import io
import re

from rich.console import Console


def terminal():
    return Console(force_terminal=True, force_jupyter=False, width=80, file=io.StringIO())


def log():
    return Console(force_terminal=False, force_jupyter=False, width=20, file=io.StringIO())


def text(console):
    return console.file.getvalue()


def percentages(console):
    return [int(number) for number in re.findall(r"(\d+)%", text(console))]


def bars(console):
    """The names of the bars that a terminal has shown."""
    return set(re.findall(r"(?:\r\x1b\[2K|^\x1b\[\?25l)([^\x1b]+) ", text(console)))
