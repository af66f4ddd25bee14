"""Loads TFLite files and times them in turn, wherever they run.

On this machine it is a module; to a board its text is sent as a program. So it needs nothing but
Python 3.9, NumPy and a TFLite runtime, and what both devices measure is the same.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import platform
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from typing import Any

import numpy as np

try:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType
except ModuleNotFoundError:
    try:  # a board with the runtime's older package
        from tflite_runtime.interpreter import Interpreter, OpResolverType
    except ModuleNotFoundError:  # is told when there is a file to open
        Interpreter = OpResolverType = None

_SYSTEM_FILES = (  # where Linux says what it runs on
    ("/proc/device-tree/model", r"^([^\0]+)"),
    ("/proc/cpuinfo", r"(?m)^model name\s*: (.+)$"),
)
MARK = "keras-spp "  # begins every line that `main` prints
_RESOLVERS = {"xnnpack": "AUTO", "none": "BUILTIN_WITHOUT_DEFAULT_DELEGATES"}
_CHUNK_BYTES = 1 << 20  # a large file need not fit into a small board's memory
_LACKING = re.compile(r"unresolved custom op|Didn't find op for builtin opcode")


def load(
    files: Sequence[Mapping[str, str]],
    threads: int,
    inputs: Sequence[np.ndarray] | None,
    delegate: str,
) -> list[Interpreter]:
    """Returns one interpreter per file, which has its inputs and has run once.

    Args:
        files: For each file its `name`, the path the user `given`, and the `path` to open.
        threads: The number of threads of one invocation, at least 1.
        inputs: Arrays for the inputs of every file, in their order, or None for random ones.
        delegate: "xnnpack" or "none".

    Raises:
        ValueError: If a file cannot be loaded or does not run on the inputs.
    """
    return [_load(file, threads, inputs, delegate) for file in files]


def time_rounds(
    interpreters: Sequence[Interpreter],
    runs: int,
    warmup: int,
    deadline: float,
    progress: Callable[[float], None] | None = None,
) -> dict[str, Any]:
    """Invokes all interpreters in turn, round after round, and times each invocation.

    Args:
        interpreters: What `load` returned.
        runs: Timed rounds, at least 1.
        warmup: Untimed invocations of each before that, at least 0.
        deadline: When to give up, in seconds of `time.monotonic`.
        progress: Called between rounds with the part done, in (0, 1], twenty times at most.

    Returns:
        For each interpreter the `nanoseconds` of every round and how many nodes are `delegated`
        (None if unknown); and the `system` they ran on.

    Raises:
        TimeoutError: If the deadline has passed.
    """
    for interpreter in interpreters:
        for _ in range(warmup):
            _check_time(deadline)
            interpreter.invoke()
    times = np.empty((runs, len(interpreters)), np.int64)
    for run in range(runs):
        # Back and forth: no file runs always after the same other one, whose data fill the cache.
        for place in range(len(interpreters))[:: 1 if run % 2 == 0 else -1]:
            _check_time(deadline)
            start = time.perf_counter_ns()
            interpreters[place].invoke()
            times[run, place] = time.perf_counter_ns() - start
        if progress and run * 20 // runs < (run + 1) * 20 // runs:
            progress((run + 1) / runs)
    return {
        "nanoseconds": times.T.tolist(),
        "delegated": [_count_delegated(interpreter) for interpreter in interpreters],
        "system": system(),
    }


def random_inputs(details: Sequence[Mapping[str, Any]]) -> list[np.ndarray]:
    """Returns the same random values for inputs of the same shapes and types every time.

    Floats are normally distributed, 8-bit and quantized integers cover their range, wider ones
    (mostly indices) are 0 or 1.

    Raises:
        ValueError: If there are no random values of an input's type.
    """
    generator = np.random.default_rng(0)
    return [_random_input(detail, generator) for detail in details]


def check_inputs(
    name: str, details: Sequence[Mapping[str, Any]], inputs: Sequence[np.ndarray]
) -> None:
    """Raises ValueError unless the arrays fit the inputs of the file called `name`."""
    if len(inputs) != len(details):
        raise ValueError(
            f"`inputs` must hold {len(details)} arrays for {name!r} but holds {len(inputs)}."
        )
    for place, detail in enumerate(details):
        value = np.asarray(inputs[place])
        shape, dtype = tuple(detail["shape"].tolist()), np.dtype(detail["dtype"])
        if value.shape != shape or value.dtype != dtype:
            raise ValueError(
                f"`inputs` must fit the input {detail['name']!r} of {name!r}, {shape} {dtype}, but "
                f"has {value.shape} {value.dtype}."
            )


def open_file(file: Mapping[str, str], **options: Any) -> Interpreter:
    """Returns an interpreter of one file, as in `load`, before tensors are allocated.

    Raises:
        ModuleNotFoundError: If no runtime is installed.
        ValueError: If the file is damaged or needs what the runtime does not have.
    """
    if Interpreter is None:
        raise ModuleNotFoundError(
            "no runtime for TFLite files is installed: run `pip install ai-edge-litert`."
        )
    try:
        # The interpreter verifies all offsets before it follows one: a truncated file is an
        # exception here, not a crash. It does not verify all numbers.
        return Interpreter(model_path=file["path"], **options)
    except (ValueError, RuntimeError) as error:
        raise _cannot_load(file, error) from error


def _load(file: Mapping[str, str], threads: int, inputs: Any, delegate: str) -> Interpreter:
    resolver = getattr(OpResolverType, _RESOLVERS[delegate], None)
    interpreter = open_file(file, num_threads=threads, experimental_op_resolver_type=resolver)
    try:
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise _cannot_load(file, error) from error
    details = interpreter.get_input_details()
    if inputs is None:
        inputs = random_inputs(details)
    check_inputs(file["name"], details, inputs)
    for place, detail in enumerate(details):
        interpreter.set_tensor(detail["index"], inputs[place])
    try:
        interpreter.invoke()
    except (ValueError, RuntimeError) as error:
        raise ValueError(
            f"`inputs` must be values that {file['name']!r} can run on but the first run failed "
            f"({_cause(error)}): give others, by default they are random."
        ) from error
    return interpreter


def _cannot_load(file: Mapping[str, str], error: Exception) -> ValueError:
    what = f"`models` has {file['given']!r} for {file['name']!r}, which"
    if _LACKING.search(str(error)):
        return ValueError(
            f"{what} needs an operation that the runtime lacks ({_cause(error)}): update the "
            "runtime or export the model without that operation."
        )
    return ValueError(
        f"{what} cannot be loaded ({_cause(error)}): export it again, it is damaged or needs "
        "another runtime."
    )


def _cause(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200].rstrip(".")


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


def _check_time(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise TimeoutError  # whoever set the deadline says what it was


def system() -> str:
    """Returns the board's model or its processor, as far as Linux tells, and the runtime."""
    package = Interpreter.__module__.partition(".")[0]
    with contextlib.suppress(metadata.PackageNotFoundError):
        package = f"{package} {metadata.version(package)}"
    names = []
    for path, pattern in _SYSTEM_FILES:
        with contextlib.suppress(OSError), open(path, errors="replace") as file:
            names += [name.strip() for name in re.findall(pattern, file.read())]
    return ", ".join([platform.machine(), *names[:1], package])


def main() -> None:
    """Answers the one job that arrives on standard input, on a board.

    The job is a line of JSON, then come the bytes of the files, then the arrays. Answers are
    lines that begin with MARK, so that nothing else the board prints is taken for one.
    """
    try:
        job = json.loads(sys.stdin.buffer.readline())
        # The runtime maps the files into memory, so they can go before the measurement starts:
        # not even a lost connection or a killed process leaves them behind then.
        with tempfile.TemporaryDirectory(prefix="keras-spp-") as folder:
            for place, file in enumerate(job["files"]):
                file["path"] = os.path.join(folder, f"{place}.tflite")
                _receive(file["path"], file["bytes"])
            inputs = None
            if job["inputs"] is not None:
                arrays = (io.BytesIO(_read(size)) for size in job["inputs"])
                inputs = [np.load(array, allow_pickle=False) for array in arrays]
            interpreters = load(job["files"], job["threads"], inputs, job["delegate"])
        threading.Thread(target=_stop_when_nobody_listens, daemon=True).start()
        deadline = time.monotonic() + job["seconds"]
        _answer(
            result=time_rounds(
                interpreters,
                job["runs"],
                job["warmup"],
                deadline,
                lambda part: _answer(progress=part),
            )
        )
    except Exception as error:  # whatever it is, the other side has to hear of it
        _answer(kind=type(error).__name__, error=str(error))
        sys.exit(1)


def _receive(path: str, size: int) -> None:
    with open(path, "wb") as file:
        for start in range(0, size, _CHUNK_BYTES):
            file.write(_read(min(_CHUNK_BYTES, size - start)))


def _read(size: int) -> bytes:
    content = sys.stdin.buffer.read(size)
    if len(content) < size:
        raise EOFError("the models did not arrive whole")
    return content


def _stop_when_nobody_listens() -> None:
    # Blocks until the other side closes or is gone. Not through sys.stdin, whose lock a thread
    # must not hold when the program ends.
    os.read(0, 1)
    os._exit(1)


def _answer(**content: Any) -> None:
    print(MARK + json.dumps(content), flush=True)


if __name__ == "__main__":
    main()
