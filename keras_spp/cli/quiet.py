"""What the libraries below say on stderr is held back: their log is not what a command has to say.

TensorFlow, its converter and CUDA write there from C++, before any setting of theirs can stop them,
and from Python. So the file descriptor itself leads elsewhere while a command runs. What the
command says itself goes to `Stderr.stream`.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from typing import IO, TextIO

import click

_DESCRIPTOR = 2


class Stderr:
    """The process' stderr, from which others are kept.

    Attributes:
        stream: Where it leads.
    """

    def __init__(self) -> None:
        self.stream: TextIO = sys.stderr
        self._held: IO[bytes] | None = None

    def hold(self, stream: TextIO, held: IO[bytes]) -> None:
        """Holds back in a file what others write; what is written to `stream` is shown."""
        sys.stderr.flush()
        os.dup2(held.fileno(), _DESCRIPTOR)
        faulthandler.enable(stream)  # a crash in C++ would be silent
        self.stream, self._held = stream, held

    def release(self, tell: bool = False) -> None:
        """Lets others write again.

        Args:
            tell: Whether to give what was held back.
        """
        if self._held is None:
            return
        sys.stderr.flush()
        self.stream.flush()
        faulthandler.disable()
        os.dup2(self.stream.fileno(), _DESCRIPTOR)
        held, self._held, self.stream = self._held, None, sys.stderr
        if tell:
            held.seek(0)
            with open(_DESCRIPTOR, "wb", closefd=False) as stderr:
                shutil.copyfileobj(held, stderr)


@contextlib.contextmanager
def others_held_back() -> Iterator[Stderr]:
    """Holds back what others write to stderr in the block; gives it after an unforeseen error."""
    stderr = Stderr()
    if not _is_the_process_own(sys.stderr):
        yield stderr
        return
    with (
        tempfile.TemporaryFile() as held,
        open(os.dup(_DESCRIPTOR), "w", encoding=sys.stderr.encoding, errors="backslashreplace")
        as stream,
    ):  # fmt: skip
        stderr.hold(stream, held)
        try:
            yield stderr
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except BaseException:
            stderr.release(tell=True)
            raise
        finally:
            stderr.release()


def _is_the_process_own(stream: TextIO) -> bool:
    """Tells whether a stream writes to the descriptor: in tests and notebooks it may not."""
    try:
        return stream.fileno() == _DESCRIPTOR
    except (AttributeError, OSError, ValueError):
        return False
