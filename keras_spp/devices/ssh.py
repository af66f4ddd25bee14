"""Boards that are reached with OpenSSH: the files travel, and run, through one connection."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn
from urllib.parse import unquote, urlsplit

import numpy as np

from keras_spp.devices import runner
from keras_spp.devices.job import Dropped, Job, Measurement, Timing, with_retries

# Runs the program that arrives on standard input. Double quotes only: the shell gets single ones.
_BOOTSTRAP = (
    'import sys; assert sys.version_info >= (3, 9), "Python 3.9 or later is needed"; '
    "size = int(sys.stdin.buffer.readline()); "
    'exec(compile(sys.stdin.buffer.read(size), "board.py", "exec"), {"__name__": "__main__"})'
)
_PROBLEMS = (
    (r"Could not resolve hostname", "is unknown", "check the name"),
    (r"Host key verification failed", "is not a known host", "connect once with `ssh` yourself"),
    (r"Permission denied", "refuses the login", "set up a key that needs no password"),
    (r"Connection refused", "refuses the connection", "check the port and that sshd runs"),
    (r"No route to host|[Cc]onnect.* timed out|during banner exchange|Network is unreachable",
     "does not answer", "check that it is on and in reach"),
)  # fmt: skip
_LOST = re.compile(r"(closed|reset) by|Broken pipe|not responding|reset$|Connection (closed|reset)")


@dataclass(frozen=True)
class Address:
    """The address of a board: ssh's destination, the board's Python, an ssh config file."""

    destination: str
    python: str = "python3"
    config: str | None = None


def parse_address(device: str) -> Address:
    """Parses `ssh://[user@]host[:port][?python=PATH&config=FILE]`.

    Raises:
        ValueError: If the name of the device has another form.

    Example:
        >>> parse_address("ssh://pi@raspberry:2222?python=venv/bin/python")
        Address(destination='ssh://pi@raspberry:2222', python='venv/bin/python', config=None)
    """
    form = "ssh://[user@]host[:port][?python=PATH&config=FILE]"
    problem = ValueError(f"`device` must be {form} but is {device!r}.")
    try:
        parts = urlsplit(device)
        host, password, _ = parts.hostname, parts.password, parts.port
        # By hand: in the queries of web forms a plus is a space, in paths it is a plus.
        pairs = (piece.split("=", 1) for piece in parts.query.split("&") if parts.query)
        options = {name: unquote(value) for name, value in pairs}
    except ValueError as error:
        raise problem from error
    valid_options = {"python", "config"}.issuperset(options) and all(options.values())
    if not host or parts.path.strip("/") or parts.fragment or not valid_options:
        raise problem
    if password is not None:
        raise ValueError(
            "`device` must not hold a password but does: set up a key, the connection is made "
            "without asking."
        )
    return Address(f"ssh://{parts.netloc}", **options)


def time_over_ssh(job: Job) -> Measurement:
    """Times files on a board.

    One connection carries the program, the files and the answers. The files lie in a temporary
    folder of the board while they are loaded.

    Raises:
        ConnectionError: If the board cannot be reached or was lost once too often.
        OSError: If the board lacks Python, a runtime or storage.
        TimeoutError: If the time is up.
        ValueError: If a file does not run there.
    """
    if shutil.which("ssh") is None:
        raise FileNotFoundError(
            f"`device` is {job.device!r} but there is no `ssh` on this computer: install OpenSSH's "
            "client."
        )
    address = parse_address(job.device)
    answer = with_retries(job, lambda: _ask(job, address))
    timings = map(Timing.of, answer["nanoseconds"], answer["delegated"])
    return Measurement(tuple(timings), answer["system"])


def _ask(job: Job, address: Address) -> dict[str, Any]:
    """Returns the answer of the board, or raises the reason why there is none."""
    seconds = job.remaining()
    command = [
        *("ssh", "-T"),
        *(["-F", os.path.expanduser(address.config)] if address.config else []),
        *_options(seconds),
        *("--", address.destination),
        f"{shlex.quote(address.python.removeprefix('~/'))} -u -c '{_BOOTSTRAP}'",
    ]
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints
        )
        # Ends every wait below: ssh's own time limits do not cover a board that hangs.
        late = threading.Timer(seconds, process.kill)
        late.start()
        try:
            assert process.stdin and process.stdout
            with contextlib.suppress(BrokenPipeError):  # the reason is in what the board answers
                _send(process.stdin, job, seconds)
            for line in process.stdout:
                text = line.decode(errors="replace")
                if not text.startswith(runner.MARK):
                    continue  # greetings of the board's shell
                answer = json.loads(text[len(runner.MARK) :])
                if "result" in answer:
                    return answer["result"]
                if "error" in answer:
                    _raise_answered(job, answer)
                if job.progress:
                    job.progress(answer["progress"])
            status = process.wait()
            job.remaining()  # if the timer has killed ssh, that is the reason
            complaints.seek(0)
            _raise_no_answer(job, address, status, complaints.read().decode(errors="replace"))
        finally:
            late.cancel()
            process.kill()  # a board whose standard input closes stops at once
            process.wait()
            for stream in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):  # what could not be sent
                    stream.close()  # type: ignore[union-attr]


def _options(seconds: float) -> list[str]:
    options = {
        "BatchMode": "yes",  # never ask for a password: nobody may be there
        "ConnectTimeout": max(1, min(15, int(seconds))),
        "ServerAliveInterval": 10,
        "ServerAliveCountMax": 3,
        "ClearAllForwardings": "yes",  # the user's may be in use by another session
        "RemoteCommand": "none",
        "LogLevel": "INFO",  # what `_raise_no_answer` reads
    }
    return [word for name, value in options.items() for word in ("-o", f"{name}={value}")]


def _send(board_input: IO[bytes], job: Job, seconds: float) -> None:
    program = Path(runner.__file__).read_bytes()
    board_input.write(b"%d\n" % len(program) + program)
    files = [
        {"name": name, "given": str(path), "bytes": path.stat().st_size}
        for name, path in job.files.items()
    ]
    arrays = None if job.inputs is None else [_serialize(array) for array in job.inputs]
    job_line = {
        "files": files,
        "inputs": None if arrays is None else [len(array) for array in arrays],
        "threads": job.threads,
        "runs": job.runs,
        "warmup": job.warmup,
        "delegate": job.delegate,
        "seconds": seconds,
    }
    board_input.write(json.dumps(job_line).encode() + b"\n")
    for path in job.files.values():
        with path.open("rb") as file:
            shutil.copyfileobj(file, board_input)
    for array in arrays or ():
        board_input.write(array)
    board_input.flush()


def _serialize(array: Any) -> bytes:
    array, content = np.asarray(array), io.BytesIO()
    if array.dtype.hasobject:
        raise ValueError(f"`inputs` must hold arrays of numbers but holds one of {array.dtype}.")
    np.save(content, array, allow_pickle=False)
    return content.getvalue()


def _raise_answered(job: Job, answer: dict[str, str]) -> NoReturn:
    """Raises here the error that the board answered with."""
    kind, text = answer["kind"], answer["error"].strip().partition("\n")[0]
    if kind == "TimeoutError":
        raise job.timeout_error()
    if kind == "ValueError":
        raise ValueError(text)
    if kind in ("OSError", "FileNotFoundError", "PermissionError"):
        raise OSError(
            f"`device` is {job.device!r}, which cannot store the models ({text}): free some space "
            "in its temporary folder."
        )
    raise OSError(f"`device` is {job.device!r}, where the measurement failed ({kind}: {text}).")


def _raise_no_answer(job: Job, address: Address, status: int, complaints: str) -> NoReturn:
    """Raises the reason why a board gave no answer."""
    what = f"`device` is {job.device!r}, which"
    lines = [line.strip() for line in complaints.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(("INFO:", "WARNING:"))]  # the runtime's
    last_line = lines[-1].rstrip(".")[:200] if lines else f"exit status {status}"
    if status == 255:  # ssh's own: the program on the board ends with others
        for pattern, problem, remedy in _PROBLEMS:
            if re.search(pattern, complaints):
                raise ConnectionError(f"{what} {problem} ({last_line}): {remedy}.")
        if any(_LOST.search(line) for line in lines):
            raise Dropped(f"{what} lost the connection {job.retries + 1} times ({last_line}).")
    if status in (137, 255) and not lines:  # the board's system has ended the program
        raise OSError(f"{what} stopped the program ({last_line}): its memory may be too small.")
    python = f"{address.python!r}"
    if status in (126, 127):
        raise OSError(f"{what} has no Python at {python} ({last_line}): name it with ?python=PATH.")
    if re.search(r"^(ModuleNotFound|Import)Error", last_line):
        raise OSError(
            f"{what} lacks what the models need in {python} ({last_line}): install ai-edge-litert "
            "there, or name another Python with ?python=PATH."
        )
    raise OSError(f"{what} ended without an answer ({last_line}).")
