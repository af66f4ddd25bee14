"""Fresh virtual environments, in which only what a test installs is there."""

import functools
import os
import subprocess
import sys
import tempfile
import venv

import pytest

# What the environment of the tests says to Python and to the frameworks.
_OURS = ("PYTHON", "VIRTUAL_ENV", "KERAS_", "TF_")


class Environment:
    """A virtual environment of this Python, with pip alone.

    Args:
        folder: Where it is made. Programs run in it, outside of the repository.
    """

    def __init__(self, folder):
        self.folder = folder
        venv.create(folder / "venv", with_pip=True)
        self.python = folder / "venv" / "bin" / "python"

    def pip(self, *arguments):
        run([self.python, "-m", "pip", *arguments, "--quiet"], self.folder)

    def shell(self, commands, project):
        """Runs commands as a page prints them, `.` being what is installed."""
        for command in commands.splitlines():
            words = command.replace('"', "").split()
            assert words[0] == "pip", command
            self.pip(*(str(project) if word == "." else word for word in words[1:]))

    def run(self, program, **variables):
        """Returns the last line that a program prints."""
        return run([self.python, "-c", program], self.folder, **variables).splitlines()[-1]


def run(command, folder, **variables):
    """Returns what a command prints, in an environment that says nothing to a framework."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(_OURS)
    } | {"TF_CPP_MIN_LOG_LEVEL": "2", **variables}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def need_package_index():
    """Skips where no package index can be reached."""
    if not _package_index():
        pytest.skip("no package index can be reached to install from")


@functools.cache
def _package_index():
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-cache-dir"]
        done = subprocess.run([*command, "--dest", folder, "lazy-loader"], capture_output=True)
        return done.returncode == 0
