"""What the command, as a process of its own, says on stderr, and how it ends when it is stopped."""

import functools
import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.slow import slow_but

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "HOME": "/nonexistent"}

COMMANDS = {
    "benchmark": ["{folder}/plain.tflite", "--runs=3"],
    "analyze": ["{folder}/plain.keras"],
    "metadata": ["{folder}/plain.tflite"],
    "shrink": ["{folder}/pruned.keras", "small.keras"],
    "export": [
        "{folder}/plain.keras", "o.tflite", "--quantization=int8", "--representative-data=x.npy"
    ],
    "parity": ["{folder}/plain.keras", "{folder}/plain.tflite", "x.npy"],
    "compress": [
        "{folder}/plain.keras", "s.keras", "--data=x.npy", "--ratio=0.5", "--tflite=s.tflite",
        "--quantization=int8", "--benchmark",
    ],
}  # fmt: skip


def command(name, folder, *more):
    arguments = [argument.format(folder=folder) for argument in COMMANDS.get(name, [])]
    return [sys.executable, "-m", "keras_spp", name, *arguments, *map(str, more)]


def start(arguments, cwd, **options):
    # What a shell starts in the background ignores Ctrl-C, and so does what that starts.
    hears = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(
        arguments, cwd=cwd, env=ENVIRONMENT, text=True, preexec_fn=hears,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )  # fmt: skip


@pytest.fixture
def here(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(32, 12, 12, 3)))
    return tmp_path


@pytest.mark.parametrize("name", slow_but(COMMANDS, ["benchmark", "analyze", "metadata"]))
def test_stderr_is_empty_after_success_and_stdout_is_json(name, folder, here):
    process = start(command(name, folder, "--json"), here)
    stdout, stderr = process.communicate()
    assert (process.returncode, stderr) == (0, "")
    assert json.loads(stdout)


def test_verbose_gives_the_progress_and_what_others_say(folder, here):
    process = start(command("benchmark", folder, "--verbose"), here)
    _, stderr = process.communicate()
    assert process.returncode == 0 and "INFO: " in stderr  # of TFLite
    assert stderr.splitlines()[-1].startswith("benchmark: ")


@pytest.mark.parametrize(
    ("end", "code", "shown"),
    [
        ("raise ValueError('x')", 1, ["Error: "]),
        ("raise KeyboardInterrupt", 130, ["Error: interrupted."]),
        ("raise SystemExit(3)", 3, ["loud"]),
        ("os.abort()", -signal.SIGABRT, ["Fatal Python error: Aborted"]),
    ],
)
def test_what_others_said_is_given_where_no_sentence_explains_the_end(here, end, code, shown):
    # A module of the user's, which writes below Python.
    (here / "loud.py").write_text(f"import os\nos.write(2, b'loud\\n')\n{end}\n")
    process = subprocess.run(
        [sys.executable, "-m", "keras_spp", "analyze", "m.keras", "--import", "loud"],
        cwd=here, env=ENVIRONMENT, capture_output=True, text=True,
    )  # fmt: skip
    assert process.returncode == code
    assert all(part in process.stderr for part in shown)
    assert ("loud\n" in process.stderr) == ("loud" in shown)
    if code in (1, 130):
        assert process.stderr.count("\n") == 1


def test_a_terminal_shows_a_bar_beside_the_json(folder, here):
    ours, theirs = pty.openpty()
    process = start(command("benchmark", folder, "--json"), here, stderr=theirs)
    os.close(theirs)
    stdout, _ = process.communicate()
    seen = b""
    try:
        while part := os.read(ours, 65536):
            seen += part
    except OSError:  # Linux says so that the other side is closed
        pass
    os.close(ours)
    assert process.returncode == 0 and json.loads(stdout)["rows"]
    assert b"benchmark" in seen and b"100%" in seen and b"INFO" not in seen


@pytest.mark.parametrize("name", slow_but(["compress", "benchmark"], ["benchmark"]))
def test_ctrl_c_ends_with_130_one_line_and_no_half_written_file(name, folder, here):
    more = ["--runs=100000000"] if name == "benchmark" else ["--samples=32"]
    before = sorted(here.iterdir())
    process = start(command(name, folder, *more), here)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not _is_at_work(process, name, here, before):
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    try:
        stdout, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, stdout, stderr) == (130, "", "Error: interrupted.\n")
    assert sorted(here.iterdir()) == before


def _is_at_work(process, name, folder, before):
    """Tells whether a command has begun: to write, or to compute for a second."""
    if name == "compress":
        return sorted(folder.iterdir()) != before
    return _seconds(process.pid) > 1


def _seconds(pid):
    """Processor time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_reader_that_leaves_is_no_error(folder, here):
    reading, writing = os.pipe()
    os.close(reading)
    process = start(command("metadata", folder), here, stdout=writing)
    os.close(writing)
    _, stderr = process.communicate()
    assert process.returncode == 1 and stderr == ""
