"""Commands that run a file of this package in a process of its own."""

from __future__ import annotations

import sys

# Modules in the working folder would hide others of their names: what Python's -P prevents, which
# 3.10 does not have. `sys` is built in, so nothing has been looked for before.
_START = """\
import sys
if not sys.path[0]:
    del sys.path[0]
import runpy
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def command(program: str, *arguments: str) -> list[str]:
    """Returns the command that runs a file with this Python, whatever lies beside it.

    >>> import subprocess
    >>> import keyword
    >>> subprocess.run(command(keyword.__file__)).returncode
    0

    Args:
        program: The path of the file.
        arguments: What it finds in `sys.argv` behind its own path.
    """
    return [sys.executable, "-c", _START, program, *arguments]
