"""Latency of TFLite files, measured side by side."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from rich.markup import escape
from rich.table import Table

from keras_spp.checks import check_integer
from keras_spp.report import as_text

_Path = str | os.PathLike[str]


@dataclass(frozen=True)
class BenchmarkRow:
    """What was measured on one file.

    Attributes:
        name: The name the file was given.
        median_ms: The median latency of one invocation, in milliseconds.
        p90_ms: The latency that 90 % of the invocations stay below, in milliseconds.
        min_ms: The lowest latency, in milliseconds.
        ratio: The first file's latency over this one's, as the median over the rounds: 2.0 is
            twice as fast as the first file, whose own ratio is 1.0.
        file_bytes: The size of the file in bytes.
        nodes: The number of operations in the file's main graph.
        delegated_nodes: How many of them XNNPACK runs; the others use TFLite's own, often slower
            kernels. None if the interpreter does not tell.
        threads: The number of threads.
        runs: The number of timed invocations.
    """

    name: str
    median_ms: float
    p90_ms: float
    min_ms: float
    ratio: float
    file_bytes: int
    nodes: int
    delegated_nodes: int | None
    threads: int
    runs: int


@dataclass(frozen=True)
class BenchmarkReport(Sequence[BenchmarkRow]):
    """What `benchmark` measured: a sequence of `BenchmarkRow`, one per file, in the order given.

    Attributes:
        device: Where the files ran.
        entries: The measurements.
    """

    device: str
    entries: tuple[BenchmarkRow, ...]

    def __getitem__(self, index: Any) -> Any:
        return self.entries[index]

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The measurements as dicts: `pandas.DataFrame(report.rows)` works."""
        return [asdict(entry) for entry in self.entries]

    def to_dict(self) -> dict[str, Any]:
        """Returns the report as plain Python values, ready for JSON."""
        return {"device": self.device, "rows": self.rows}

    def __rich__(self) -> Table:
        first = self.entries[0]
        table = Table(title=f"{self.device}: threads {first.threads}, runs {first.runs}")
        table.add_column("model")
        for title in ("median ms", "p90 ms", "min ms", "speedup", "KiB", "nodes", "delegated"):
            table.add_column(title, justify="right")
        for row in self.entries:
            table.add_row(
                escape(row.name),
                *(f"{ms:.3f}" for ms in (row.median_ms, row.p90_ms, row.min_ms)),
                f"{row.ratio:.2f}x",
                f"{row.file_bytes / 1024:,.1f}",
                str(row.nodes),
                "?" if row.delegated_nodes is None else str(row.delegated_nodes),
            )
        return table

    def __str__(self) -> str:
        return as_text(self)


def benchmark(
    models: Mapping[str, _Path] | Iterable[_Path] | _Path,
    device: str = "local",
    threads: int = 1,
    *,
    runs: int = 50,
    warmup: int = 5,
    inputs: Sequence[np.ndarray] | np.ndarray | None = None,
) -> BenchmarkReport:
    """Times TFLite files against each other.

    All files are loaded into one process and invoked in turn, round after round, so that noise
    of the machine hits them alike. Only the invocation itself is timed.

    Args:
        models: The files: a dict from name to path, several paths or one path (named after the
            file, without its suffix).
        device: Where to run: "local", this machine.
        threads: The number of threads that one invocation may use, at least 1.
        runs: The number of timed invocations of each file, at least 1.
        warmup: The number of untimed invocations of each file before that, at least 0.
        inputs: Arrays to invoke every file with, in the order of the file's inputs, or the array
            for the only input. By default seeded random values: floats normally distributed,
            8-bit and quantized integers over their range, wider ones (mostly indices) 0 or 1.

    Returns:
        A `BenchmarkReport`, which prints as a table and has the numbers in `rows`.

    Raises:
        OSError: If a file does not exist, is a folder or cannot be read.
        TypeError: If `models` holds something else than paths.
        ValueError: If a number is out of range, a name occurs twice, or a file is not a valid
            TFLite model or does not run on the inputs.

    Example:
        >>> import os, tempfile
        >>> import tf_keras as keras
        >>> from keras_spp.export import export_tflite
        >>> model = keras.Sequential([keras.layers.Dense(2, input_shape=(3,))])
        >>> path = os.path.join(tempfile.mkdtemp(), "dense.tflite")
        >>> _ = export_tflite(model, path)
        >>> report = benchmark({"dense": path}, runs=10)
        >>> report[0].name, report[0].ratio, report[0].median_ms > 0
        ('dense', 1.0, True)
    """
    if device not in _DEVICES:
        choices = ", ".join(map(repr, _DEVICES))
        raise ValueError(f"`device` must be one of {choices} but is {device!r}.")
    for name, value, least in (("threads", threads, 1), ("runs", runs, 1), ("warmup", warmup, 0)):
        check_integer(name, value, least)
    threads, runs, warmup = int(threads), int(runs), int(warmup)  # NumPy's are integers too
    paths = _named_paths(models)
    for name, path in paths.items():
        _check_file(name, path)
    timings = _DEVICES[device](paths, threads, runs, warmup, inputs)
    entries = (
        _summarize(name, path, timing, timings[0], threads)
        for (name, path), timing in zip(paths.items(), timings, strict=True)
    )
    return BenchmarkReport(device, tuple(entries))


@dataclass(frozen=True)
class _Timing:
    """What a device reports on one file: the latency of each round in nanoseconds."""

    nanoseconds: Sequence[int]
    delegated_nodes: int | None


def _time_locally(
    paths: Mapping[str, Path],
    threads: int,
    runs: int,
    warmup: int,
    inputs: Sequence[np.ndarray] | np.ndarray | None,
) -> list[_Timing]:
    interpreters = [_load(name, path, threads, inputs) for name, path in paths.items()]
    for interpreter in interpreters:
        for _ in range(warmup):
            interpreter.invoke()
    times = np.empty((runs, len(interpreters)), np.int64)
    for run in range(runs):
        # Back and forth: no file runs always after the same other one, whose data fill the cache.
        for place in range(len(interpreters))[:: 1 if run % 2 == 0 else -1]:
            start = time.perf_counter_ns()
            interpreters[place].invoke()
            times[run, place] = time.perf_counter_ns() - start
    return [
        _Timing(column.tolist(), _count_delegated(interpreter))
        for column, interpreter in zip(times.T, interpreters, strict=True)
    ]


# A further kind of device is one more function with the arguments of `_time_locally`.
_DEVICES: dict[str, Callable[..., list[_Timing]]] = {"local": _time_locally}


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


def _load(name: str, path: Path, threads: int, inputs: Any) -> Interpreter:
    """Returns an interpreter that has its inputs and has run once."""
    try:
        # The interpreter verifies the file before it follows any offset in it: a truncated or
        # damaged file is an exception here, not a crash.
        interpreter = Interpreter(model_path=str(path), num_threads=threads)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise ValueError(
            f"`models` has {str(path)!r} for {name!r}, which cannot be loaded ({_cause(error)}): "
            "export it again, it is damaged or needs another runtime."
        ) from error
    details = interpreter.get_input_details()
    if inputs is None:
        generator = np.random.default_rng(0)
        inputs = [_random_input(detail, generator) for detail in details]
    elif isinstance(inputs, np.ndarray):
        inputs = [inputs]
    if len(inputs) != len(details):
        raise ValueError(
            f"`inputs` must hold {len(details)} arrays for {name!r} but holds {len(inputs)}."
        )
    for detail, value in zip(details, inputs, strict=True):
        shape, dtype = tuple(detail["shape"].tolist()), np.dtype(detail["dtype"])
        if np.shape(value) != shape or np.asarray(value).dtype != dtype:
            raise ValueError(
                f"`inputs` must fit the input {detail['name']!r} of {name!r}, {shape} {dtype}, but "
                f"has {np.shape(value)} {np.asarray(value).dtype}."
            )
        interpreter.set_tensor(detail["index"], value)
    try:
        interpreter.invoke()
    except (ValueError, RuntimeError) as error:
        raise ValueError(
            f"`inputs` must be values that {name!r} can run on but the first run failed "
            f"({_cause(error)}): give others, by default they are random."
        ) from error
    return interpreter


def _random_input(detail: Mapping[str, Any], generator: np.random.Generator) -> np.ndarray:
    dtype, shape = np.dtype(detail["dtype"]), detail["shape"]
    if dtype.kind in "fc":
        return generator.standard_normal(shape).astype(dtype)
    if dtype.kind in "iub":
        quantized = detail["quantization_parameters"]["scales"].size > 0
        full_range = dtype.kind != "b" and (quantized or dtype.itemsize == 1)
        low, high = (np.iinfo(dtype).min, np.iinfo(dtype).max) if full_range else (0, 1)
        return generator.integers(low, high, shape, endpoint=True).astype(dtype)
    raise ValueError(
        f"`inputs` must be given because the input {detail['name']!r} has the type {dtype}, for "
        "which there are no random values."
    )


def _count_delegated(interpreter: Interpreter) -> int | None:
    """Returns how many operations of the file a delegate (XNNPACK) has taken over.

    The interpreter keeps the file's operations and adds one DELEGATE node for each region of
    them that was taken over. The node names the tensors that enter and leave its region, so the
    region is what one meets on the way back from the latter to the former.
    """
    try:
        nodes = interpreter._get_ops_details()
        regions = [node for node in nodes if node["op_name"] == "DELEGATE"]
        operations = [node for node in nodes if node["op_name"] != "DELEGATE"]
        producers = {tensor: node for node in operations for tensor in node["outputs"]}
    except Exception:  # not a public method: whatever becomes of it, latencies are still right
        return None
    delegated: set[int] = set()
    for region in regions:
        borders = set(region["inputs"])
        ahead = list(region["outputs"])
        while ahead:
            tensor = ahead.pop()
            node = producers.get(tensor)
            if tensor in borders or node is None or node["index"] in delegated:
                continue
            delegated.add(node["index"])
            ahead.extend(node["inputs"])
    return len(delegated)


def _summarize(
    name: str, path: Path, timing: _Timing, first: _Timing, threads: int
) -> BenchmarkRow:
    nanoseconds = np.asarray(timing.nanoseconds, float)
    graph = schema.Model.GetRootAs(path.read_bytes(), 0).Subgraphs(0)
    return BenchmarkRow(
        name=name,
        median_ms=float(np.median(nanoseconds)) / 1e6,
        p90_ms=float(np.percentile(nanoseconds, 90)) / 1e6,
        min_ms=float(nanoseconds.min()) / 1e6,
        ratio=float(np.median(np.asarray(first.nanoseconds, float) / nanoseconds)),
        file_bytes=path.stat().st_size,
        nodes=graph.OperatorsLength(),
        delegated_nodes=timing.delegated_nodes,
        threads=threads,
        runs=len(nanoseconds),
    )


def _cause(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200].rstrip(".")
