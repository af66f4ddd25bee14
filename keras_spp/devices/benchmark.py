"""Latency of TFLite files, measured side by side."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from keras_spp.devices.job import Job, Timing
from keras_spp.devices.names import check_options, find_device
from keras_spp.util.checks import check_integer, check_number
from keras_spp.util.progress import work
from keras_spp.util.report import Columns, Rows

_Path = str | os.PathLike[str]
_TITLES = "median\nms", "p90\nms", "p95\nms", "min\nms", "speedup", "KiB", "nodes", "delegated"


@dataclass(frozen=True)
class BenchmarkRow:
    """The measurements of one file.

    Attributes:
        name: The name the file was given.
        median_ms: The median latency of one invocation, in milliseconds.
        p90_ms: The latency that 90 % of the invocations stay below, in milliseconds. None on
            Android, whose `benchmark_model` does not print it.
        p95_ms: The same for 95 %.
        min_ms: The lowest latency, in milliseconds.
        ratio: The first file's latency over this one's, as the median over the rounds: 2.0 is
            twice as fast as the first file, whose own ratio is 1.0.
        file_bytes: The size of the file in bytes.
        nodes: The number of operations in the file's main graph.
        delegated_nodes: How many of them the delegate runs (XNNPACK by default); the others use
            TFLite's own, often slower kernels. None if the runtime does not tell.
        threads: The number of threads.
        runs: The number of timed invocations.
    """

    name: str
    median_ms: float
    p90_ms: float | None
    p95_ms: float
    min_ms: float
    ratio: float
    file_bytes: int
    nodes: int
    delegated_nodes: int | None
    threads: int
    runs: int


@dataclass(frozen=True)
class BenchmarkReport(Rows[BenchmarkRow]):
    """What `benchmark` measured: a sequence of `BenchmarkRow`, one per file, in the order given.

    Attributes:
        device: Where the files ran, as it was asked for.
        entries: The measurements.
        system: What is there: the processor and the runtime's version, or the phone's model.
    """

    device: str
    entries: tuple[BenchmarkRow, ...]
    system: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Returns the report as plain Python values, ready for JSON."""
        return {"device": self.device, "system": self.system, "rows": self.rows}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> BenchmarkReport:
        """Returns the report that `to_dict` was called of."""
        rows = tuple(BenchmarkRow(**row) for row in content["rows"])
        return cls(content["device"], rows, content["system"])

    def __rich__(self) -> Table:
        first = self.entries[0]
        where = place_of(self.device, self.system)
        table = Columns(f"{where}: threads {first.threads}, runs {first.runs}")
        table.words("model")
        table.numbers(*_TITLES)
        for row in self.entries:
            table.row(
                row.name,
                *map(_rounded, (row.median_ms, row.p90_ms, row.p95_ms, row.min_ms)),
                f"{row.ratio:.2f}x",
                _rounded(row.file_bytes / 1024),
                str(row.nodes),
                "?" if row.delegated_nodes is None else str(row.delegated_nodes),
            )
        return table


def benchmark(
    models: Mapping[str, _Path] | Iterable[_Path] | _Path,
    device: str = "local",
    threads: int = 1,
    *,
    runs: int = 50,
    warmup: int = 5,
    inputs: Sequence[np.ndarray] | np.ndarray | None = None,
    delegate: str = "xnnpack",
    binary: _Path | None = None,
    timeout: float | None = None,
    retries: int = 2,
    progress: Callable[[float], None] | None = None,
    verbose: int = 1,
) -> BenchmarkReport:
    """Times TFLite files against each other, on this machine, a Linux board or an Android device.

    The files are invoked in turn, round after round, so that noise of the machine hits them
    alike. Only the invocation itself is timed. On Android one process times one file, and the
    processes take turns.

    Args:
        models: The files: a dict from name to path, several paths or one path (named after the
            file, without its suffix).
        device: Where to run: "local", this machine; "ssh://user@host", a Linux board with Python
            and ai-edge-litert, to which `ssh` can connect without a password (a port and
            options: "ssh://user@host:22?python=PATH&config=FILE"); "android" or
            "android:SERIAL", a device that `adb` sees.
        threads: The number of threads that one invocation may use, at least 1.
        runs: The number of timed invocations of each file, at least 1.
        warmup: The number of untimed invocations of each file before that, at least 0; on Android
            in each process, and at least 1.
        inputs: Arrays to invoke every file with, in the order of the file's inputs, or the array
            for the only input. By default seeded random values: floats normally distributed,
            8-bit and quantized integers over their range, wider ones (mostly indices) 0 or 1.
        delegate: What runs the operations: "xnnpack"; "none", TFLite's own kernels; on Android
            also "gpu" and "nnapi", if `benchmark_model` has them.
        binary: On Android, TensorFlow's `benchmark_model` on this computer, which is copied to
            the device. By default /data/local/tmp/benchmark_model on the device.
        timeout: Seconds for the whole measurement, from 0.1 to a million. By default 600, and no
            limit on this machine.
        retries: How often to start again after the connection was lost, at least 0.
        progress: Called now and then, between invocations, with the part done, in (0, 1].
        verbose: 0 shows nothing, 1 a progress bar.

    Returns:
        A `BenchmarkReport`, which prints as a table and has the numbers in `rows`.

    Raises:
        ConnectionError: If the device cannot be reached, or was lost once too often.
        OSError: If a file does not exist, is a folder or cannot be read; if `ssh`, `adb` or
            `benchmark_model` is missing; if the device lacks Python, a runtime or storage.
        TimeoutError: If the time is up.
        TypeError: If `models` holds something else than paths.
        ValueError: If a number is out of range, a name occurs twice, the device does not exist or
            does not have an option, or a file is not a valid TFLite model or does not run there.

    Example:
        >>> import os, tempfile
        >>> import tf_keras as keras
        >>> from keras_spp.export.tflite import export_tflite
        >>> model = keras.Sequential([keras.layers.Dense(2, input_shape=(3,))])
        >>> path = os.path.join(tempfile.mkdtemp(), "dense.tflite")
        >>> _ = export_tflite(model, path)
        >>> report = benchmark({"dense": path}, runs=10)
        >>> report[0].name, report[0].ratio, report[0].median_ms > 0
        ('dense', 1.0, True)
    """
    time_on_device = find_device(device)
    for name, value, least in (
        ("threads", threads, 1),
        ("runs", runs, 1),
        ("warmup", warmup, 0),
        ("retries", retries, 0),
        ("verbose", verbose, 0),
    ):
        check_integer(name, value, least)
    if timeout is None:
        timeout = math.inf if device == "local" else 600.0
    else:
        check_number("timeout", timeout, 0.1, 1e6, "a number of seconds in [0.1, 1000000]")

    def tell(part: float) -> None:
        timing.reach(part)
        if progress:
            progress(part)

    job = Job(
        device=device,
        files=_named_paths(models),
        threads=int(threads),  # NumPy's are integers too
        runs=int(runs),
        warmup=int(warmup),
        inputs=[inputs] if isinstance(inputs, np.ndarray) else inputs,
        delegate=delegate,
        binary=None if binary is None else Path(binary),
        timeout=float(timeout),
        retries=int(retries),
        progress=tell,
        started=time.monotonic(),
    )
    check_options(job)
    for name, path in job.files.items():
        _check_file(name, path)
    with work("benchmark", 1.0, verbose) as timing:
        measured = time_on_device(job)
    entries = (
        _summarize(name, path, timing, measured.timings[0], job.threads)
        for (name, path), timing in zip(job.files.items(), measured.timings, strict=True)
    )
    return BenchmarkReport(device, tuple(entries), measured.system)


def _named_paths(models: Any) -> dict[str, Path]:
    if isinstance(models, str | os.PathLike):
        models = [models]
    if not isinstance(models, Iterable):
        raise TypeError(f"`models` must be a dict from name to path but is {models!r}.")
    paths = list(models.values() if isinstance(models, Mapping) else models)
    for path in paths:
        if not isinstance(path, str | os.PathLike):
            raise TypeError(f"`models` must hold paths of .tflite files but holds {path!r}.")
    if not paths:
        raise ValueError("`models` must hold at least one file but is empty.")
    is_mapping = isinstance(models, Mapping)
    names = [str(name) for name in models] if is_mapping else [Path(path).stem for path in paths]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(
            f"`models` must have different names but {', '.join(repeated)} occurs more than once: "
            "give a dict from name to path."
        )
    return dict(zip(names, map(Path, paths), strict=True))


def _check_file(name: str, path: Path) -> None:
    what = f"`models` has {str(path)!r} for {name!r}"
    if path.is_dir():
        raise IsADirectoryError(f"{what}, which is a folder: give the .tflite file in it.")
    if not path.is_file():
        raise FileNotFoundError(f"{what}, which does not exist: export the model first.")
    with path.open("rb") as file:
        head = file.read(8)
    if head[4:] != b"TFL3":  # the identifier of the format
        kind = "is too short for" if len(head) < 8 else "is not"
        raise ValueError(f"{what}, which {kind} a TFLite file: export the model again.")


def _summarize(name: str, path: Path, timing: Timing, first: Timing, threads: int) -> BenchmarkRow:
    # Not at the top: what prunes on JAX without any of this asks for a device too.
    from ai_edge_litert import schema_py_generated as schema

    graph = schema.Model.GetRootAs(path.read_bytes(), 0).Subgraphs(0)
    return BenchmarkRow(
        name=name,
        median_ms=timing.median_ms,
        p90_ms=timing.p90_ms,
        p95_ms=timing.p95_ms,
        min_ms=timing.min_ms,
        ratio=float(np.median(np.asarray(first.rounds) / np.asarray(timing.rounds))),
        file_bytes=path.stat().st_size,
        nodes=graph.OperatorsLength(),
        delegated_nodes=timing.delegated_nodes,
        threads=threads,
        runs=timing.runs,
    )


def place_of(device: str, system: str) -> str:
    """Returns where files were timed, and on what, if that is known.

    Example:
        >>> place_of("android", "Pixel 8, Android 15"), place_of("local", "")
        ('android (Pixel 8, Android 15)', 'local')
    """
    return f"{device} ({system})" if system else device


def _rounded(value: float | None) -> str:
    """Returns a number with decimals as far as they say something."""
    return "?" if value is None else f"{value:,.{3 if value < 100 else 1 if value < 1000 else 0}f}"
