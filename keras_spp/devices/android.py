"""Android devices, reached with adb and timed by TensorFlow's `benchmark_model`."""

from __future__ import annotations

import contextlib
import math
import re
import shutil
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_spp.devices import runner
from keras_spp.devices.benchmark_model import Output, parse
from keras_spp.devices.job import Dropped, Job, Measurement, Timing, with_retries
from keras_spp.util.files import temporary_folder
from keras_spp.util.messages import last_line

_DEVICE_FOLDER = "/data/local/tmp"  # where Android lets adb put programs
_RECONNECTING = 30.0  # seconds to wait for a lost device: adb tries every ten
_CLEANING = 10.0  # seconds to remove a folder
_ROUNDS = 5  # processes per file: each loads the file anew, which takes longer than its runs
_FLAGS = {
    "xnnpack": "--use_xnnpack=true",
    "none": "--use_xnnpack=false",
    "gpu": "--use_gpu=true",
    "nnapi": "--use_nnapi=true",
}
_PROCESSORS = {3: "x86", 40: "armeabi-v7a", 62: "x86_64", 183: "arm64-v8a", 243: "riscv64"}
_LOST = re.compile(
    r"device '[^\n]*' not found|device offline|no devices/emulators found|error: closed"
    r"|protocol fault|[Cc]onnection reset|copy response: EOF|device still (connecting|authorizing)"
)
_STATES = {
    "unauthorized": "does not trust this computer: unlock it and accept the question it shows",
    "offline": "is offline: plug it in again, or restart it",
    "no permissions": "may not be opened by this user: set up udev rules for it",
}
_WRONG_FILE = re.compile(r"not executable|Exec format error|wrong ELF class|bad ELF magic")


def time_on_android(job: Job) -> Measurement:
    """Times files on a device.

    `benchmark_model` takes one file at a time, so the files take turns in several rounds, back
    and forth. Everything lies in one folder of the device, which is removed afterwards.

    Raises:
        ConnectionError: If there is no such device, or it was lost once too often.
        FileNotFoundError: If there is no adb, or no `benchmark_model`.
        OSError: If the device's storage is full.
        TimeoutError: If the time is up.
        ValueError: If `benchmark_model` is for another processor, lacks what is asked for, fails
            or prints something unknown.
    """
    processor = None if job.binary is None else _processor(job.binary)
    adb = _Adb(job, _choose_serial(job), f"{_DEVICE_FOLDER}/keras-spp-{uuid.uuid4().hex[:12]}")
    with temporary_folder() as folder:
        inputs = [
            _write_inputs(job, name, folder / str(place)) for place, name in enumerate(job.files)
        ]
        try:
            return with_retries(job, lambda: _attempt(job, adb, processor, inputs))
        finally:
            adb.clean()


@dataclass(frozen=True)
class _Inputs:
    """The inputs of one model: a file and a shape for each."""

    files: Sequence[Path]
    shapes: Sequence[Sequence[int]]


def _attempt(job: Job, adb: _Adb, processor: str | None, inputs: Sequence[_Inputs]) -> Measurement:
    adb.wait()
    properties = ("ro.product.model", "ro.product.cpu.abilist", "ro.build.version.release")
    product, supported, version = (adb.shell(f"getprop {name}")[1].strip() for name in properties)
    if processor and processor not in supported.split(","):
        raise ValueError(
            f"`binary` is {str(job.binary)!r}, which is built for {processor}, but {job.device!r} "
            f"runs {supported}: take a benchmark_model for that."
        )
    adb.clean()  # what an attempt whose connection was lost has left
    status, text = adb.shell(f"mkdir {adb.folder}")
    if status:
        raise adb.write_error(text)
    program = _provide_binary(job, adb)
    for place, (path, values) in enumerate(zip(job.files.values(), inputs, strict=True)):
        adb.push(path, f"{adb.folder}/{place}.tflite")
        for index, file in enumerate(values.files):
            adb.push(file, f"{adb.folder}/{place}.{index}")
    outputs: list[list[Output]] = [[] for _ in job.files]
    turns = [runs for runs in _split_runs(job.runs, _ROUNDS) if runs]
    for turn, runs in enumerate(turns):
        for step, place in enumerate(range(len(inputs))[:: 1 if turn % 2 == 0 else -1]):
            arguments = _arguments(job, f"{adb.folder}/{place}", inputs[place], runs)
            status, text = adb.run_program(f"{program} {arguments}")
            outputs[place].append(_parse_output(job, list(job.files)[place], text, status, runs))
            if job.progress:
                job.progress((turn * len(inputs) + step + 1) / (len(turns) * len(inputs)))
    return Measurement(tuple(map(_combine, outputs)), f"{product}, Android {version}, {supported}")


def _split_runs(runs: int, rounds: int) -> list[int]:
    return [runs // rounds + (round_index < runs % rounds) for round_index in range(rounds)]


def _combine(rounds: Sequence[Output]) -> Timing:
    """Returns one timing of all rounds: medians over them; no percentile but those printed."""
    medians = [output.median / 1e3 for output in rounds]
    return Timing(
        rounds=medians,
        median_ms=float(np.median(medians)),
        p90_ms=None,
        p95_ms=float(np.median([output.p95 for output in rounds])) / 1e3,
        min_ms=min(output.min for output in rounds) / 1e3,
        runs=sum(output.count for output in rounds),
        delegated_nodes=rounds[0].delegated_nodes,
    )


def _parse_output(job: Job, name: str, text: str, status: int, runs: int) -> Output:
    if _WRONG_FILE.search(text):
        raise ValueError(
            f"`binary` must be a benchmark_model that {job.device!r} can execute but it cannot "
            f"({last_line(text)}): take one for its processor."
        )
    what = f"`models` has {str(job.files[name])!r} for {name!r}, which on {job.device!r}"
    return parse(text, status, runs, job.delegate, what)


def _arguments(job: Job, stem: str, inputs: _Inputs, runs: int) -> str:
    names = [f"in{index}" for index in range(len(inputs.files))]  # the file's own may hold colons
    return " ".join([
        f"--graph={stem}.tflite",
        f"--num_threads={job.threads}",
        f"--num_runs={runs}",
        f"--warmup_runs={max(1, job.warmup)}",  # the first run of a process is always another
        "--min_secs=0 --warmup_min_secs=0",  # else it runs more often than asked for
        f"--max_secs={max(1, int(job.remaining()))}",
        f"--input_layer={','.join(names)}",
        f"--input_layer_shape={':'.join(','.join(map(str, shape)) for shape in inputs.shapes)}",
        "--input_layer_value_files="
        + ",".join(f"{name}:{stem}.{index}" for index, name in enumerate(names)),
        _FLAGS[job.delegate],
    ])  # fmt: skip


def _write_inputs(job: Job, name: str, folder: Path) -> _Inputs:
    """Writes the same inputs that other devices get, as bytes for `benchmark_model`."""
    path = str(job.files[name])
    interpreter = runner.open_file({"name": name, "given": path, "path": path})
    details: Sequence[Mapping] = interpreter.get_input_details()
    values = runner.random_inputs(details) if job.inputs is None else job.inputs
    runner.check_inputs(name, details, values)
    folder.mkdir()
    files, shapes = [], []
    for index, value in enumerate(map(np.asarray, values)):
        if not value.ndim:
            raise ValueError(
                f"`models` has {path!r} for {name!r}, whose input {details[index]['name']!r} is a "
                "scalar, which benchmark_model cannot be given: export it with the shape (1,)."
            )
        files.append(folder / str(index))
        files[-1].write_bytes(value.tobytes())
        shapes.append(value.shape)
    return _Inputs(files, shapes)


def _processor(binary: Path) -> str:
    """Returns the processor that a program is built for, in Android's words."""
    what = f"`binary` is {str(binary)!r}, which"
    if not binary.is_file():
        raise FileNotFoundError(f"{what} is not a file: give TensorFlow's benchmark_model.")
    with binary.open("rb") as file:
        head = file.read(20)
    if len(head) < 20 or head[:4] != b"\x7fELF":
        raise ValueError(f"{what} is not a program for Android: give TensorFlow's benchmark_model.")
    number = int.from_bytes(head[18:20], "little")
    return _PROCESSORS.get(number, f"an unknown processor (ELF machine {number})")


def _provide_binary(job: Job, adb: _Adb) -> str:
    if job.binary is not None:
        adb.push(job.binary, f"{adb.folder}/benchmark_model")
        adb.shell(f"chmod 755 {adb.folder}/benchmark_model")
        return f"{adb.folder}/benchmark_model"
    program = f"{_DEVICE_FOLDER}/benchmark_model"
    if adb.shell(f"ls {program}")[0]:
        raise FileNotFoundError(
            f"`binary` must be given because {job.device!r} has no {program}: name TensorFlow's "
            "benchmark_model for its processor."
        )
    return program


def _choose_serial(job: Job) -> str:
    """Returns the serial number of the device that the job names, or of the only one."""
    if shutil.which("adb") is None:
        raise FileNotFoundError(
            f"`device` is {job.device!r} but there is no `adb` on this computer: install Android's "
            "platform tools."
        )
    wanted = job.device.partition(":")[2]
    status, text = _run_adb(job, "devices")
    listed = text.partition("List of devices attached")[2]
    if status or not listed:
        raise ConnectionError(f"`device` is {job.device!r} but adb failed ({last_line(text)}).")
    lines = (line.split(None, 1) for line in listed.splitlines() if line.strip())
    states = {serial: state.strip() for serial, state in lines}
    if wanted and wanted not in states:
        others = f"only {', '.join(states)}" if states else "none at all"
        raise ConnectionError(
            f"`device` is {job.device!r} but adb sees no device {wanted}, {others}: plug it in and "
            "switch USB debugging on."
        )
    if not states:
        raise ConnectionError(
            f"`device` is {job.device!r} but adb sees no device: plug one in and switch USB "
            "debugging on."
        )
    if not wanted and len(states) > 1:
        choices = ", ".join(f"'android:{serial}'" for serial in states)
        raise ConnectionError(
            f"`device` must be one of {choices} but is {job.device!r}, and there are several."
        )
    serial = wanted or next(iter(states))
    if states[serial] != "device":
        state = states[serial]
        problems = (problem for key, problem in _STATES.items() if state.startswith(key))
        problem = next(problems, f"is in the state {state!r}: start it as usual")
        raise ConnectionError(f"`device` is {job.device!r} but {serial} {problem}.")
    return serial


@dataclass(frozen=True)
class _Adb:
    """The adb commands in use here, on one device, with a temporary folder there."""

    job: Job
    serial: str
    folder: str

    def shell(self, command: str) -> tuple[int, str]:
        """Runs a command on the device and returns its exit status and all that it printed."""
        # Old versions of Android do not hand the status on; and without it the answer is cut off.
        mark = "keras-spp-status="
        status, text = _run_adb(
            self.job, "-s", self.serial, "shell", f"({command}) 2>&1; echo {mark}$?"
        )
        before, separator, after = text.replace("\r", "").rpartition(mark)
        if not separator or not after.strip().isdigit():
            raise self._lost(text or f"exit status {status}")
        return int(after), before

    def wait(self) -> None:
        """Waits for a device that was lost a moment ago: adb reconnects by itself."""
        status, text = _run_adb(self.job, "-s", self.serial, "wait-for-device", limit=_RECONNECTING)
        if status:
            raise self._lost(text)

    def push(self, source: Path, target: str) -> None:
        """Copies a file to the device."""
        status, text = _run_adb(self.job, "-s", self.serial, "push", str(source.resolve()), target)
        if status:
            raise self._lost(text) if _LOST.search(text) else self.write_error(text)

    def run_program(self, command: str) -> tuple[int, str]:
        """Runs like `shell` what may outlive a lost connection, so that `clean` can end it."""
        pid = f"{self.folder}/pid"
        return self.shell(
            f"sh -c 'echo $$ > {pid}; exec {command}'; status=$?; rm -f {pid}; exit $status"
        )

    def clean(self) -> None:
        """Ends what still runs in the folder, by its number, and removes it, if possible."""
        end = f"test -f {self.folder}/pid && kill -9 $(cat {self.folder}/pid)"
        words = ["adb", "-s", self.serial, "wait-for-device", "shell"]
        # Not through `shell`: this must run even when the time is up, and must not hide the error
        # that has led here.
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            subprocess.run(
                [*words, f"{end}; rm -rf {self.folder}"],
                timeout=_CLEANING,
                capture_output=True,
                stdin=subprocess.DEVNULL,
            )

    def write_error(self, text: str) -> OSError:
        what = f"`device` is {self.job.device!r}, whose {_DEVICE_FOLDER}"
        if complaint := re.search(r"[^\n]*No space left[^\n]*", text):
            return OSError(f"{what} is full ({last_line(complaint[0])}): free some storage.")
        return OSError(f"{what} cannot be written ({last_line(text)}).")

    def _lost(self, text: str) -> Dropped:
        times = self.job.retries + 1
        return Dropped(
            f"`device` is {self.job.device!r}, which lost the connection {times} times "
            f"({last_line(text)}): check the cable."
        )


def _run_adb(job: Job, *words: str, limit: float = math.inf) -> tuple[int, str]:
    """Runs adb and returns its exit status and what it printed; status 1 if the limit is over."""
    try:
        done = subprocess.run(
            ["adb", *words],
            stdin=subprocess.DEVNULL,  # adb would pass on, and take away, what the user types
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=min(job.remaining(), limit),
        )
    except subprocess.TimeoutExpired:
        job.remaining()  # if the time for all of it is up, that is the reason
        return 1, f"it did not come back in {limit:g} seconds"
    return done.returncode, done.stdout.decode(errors="replace")
