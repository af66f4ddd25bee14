"""The program that is sent to a board, run as a board runs it: alone, with a pipe at each end."""

import ast
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from keras_spp.devices import runner


@pytest.fixture
def model(small_file):
    return small_file.read_bytes()


@pytest.fixture
def program(tmp_path):
    """Starts the program; its temporary files go to a folder of the test."""
    started = []

    def start():
        process = subprocess.Popen(
            [sys.executable, "-I", runner.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "TMPDIR": str(tmp_path)},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with process:
            process.kill()
    assert list(tmp_path.iterdir()) == []


def order(*sizes, **options):
    files = [{"name": f"f{i}", "given": f"m{i}.tflite", "bytes": n} for i, n in enumerate(sizes)]
    usual = {"inputs": None, "threads": 1, "runs": 3, "warmup": 0, "delegate": "xnnpack"}
    return json.dumps({"files": files, "seconds": 60, **usual, **options}).encode() + b"\n"


def answers(process, sent=None):
    """What the program says until it ends, sent something or nothing more."""
    output = process.communicate(sent, timeout=60)[0].decode()
    marked = (line for line in output.splitlines() if line.startswith(runner.MARK))
    return [json.loads(line[len(runner.MARK) :]) for line in marked]


def read_answer(process):
    for line in process.stdout:
        if line.startswith(runner.MARK.encode()):
            return json.loads(line[len(runner.MARK) :])
    raise AssertionError(process.stderr.read().decode())


def test_it_needs_no_newer_python_than_a_boards():
    ast.parse(Path(runner.__file__).read_text(), feature_version=(3, 9))


def test_it_imports_nothing_that_a_board_lacks():
    modules = set()
    for node in ast.walk(ast.parse(Path(runner.__file__).read_text())):
        if isinstance(node, ast.ImportFrom):
            modules.add(node.module)
        elif isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
    others = {module.partition(".")[0] for module in modules} - set(sys.stdlib_module_names)
    assert others == {"numpy", "ai_edge_litert", "tflite_runtime"}


def test_it_times_what_arrives(program, model):
    array = io.BytesIO()
    np.save(array, np.ones((1, 3), np.float32))
    content = array.getvalue()
    process = program()
    process.stdin.write(order(len(model), len(model), inputs=[len(content)]))
    process.stdin.write(model + model + content)
    process.stdin.flush()
    said = [read_answer(process) for _ in range(4)]
    assert [answer.get("progress") for answer in said[:3]] == [1 / 3, 2 / 3, 1.0]
    assert [len(times) for times in said[3]["result"]["nanoseconds"]] == [3, 3]


def test_files_are_gone_while_they_are_timed(program, model, tmp_path):
    process = program()
    process.stdin.write(order(len(model), runs=10_000_000, seconds=600) + model)
    process.stdin.flush()
    mapped = Path(f"/proc/{process.pid}/maps")
    while "0.tflite (deleted)" not in mapped.read_text():
        assert process.poll() is None
    assert list(tmp_path.iterdir()) == []
    process.stdin.close()
    assert process.wait(timeout=60) == 1  # it does not go on for nobody


def test_an_interrupted_copy_leaves_nothing(program, model, tmp_path):
    process = program()
    process.stdin.write(order(len(model), 10_000_000) + model + bytes(2_000_000))
    process.stdin.flush()
    while not list(tmp_path.glob("*/1.tflite")):
        assert process.poll() is None
    assert answers(process)[0]["kind"] == "EOFError"


def test_what_is_wrong_is_answered(program, model):
    assert answers(program(), order(4) + b"TFL3")[0]["kind"] == "ValueError"
    assert answers(program(), b"?")[0]["kind"] == "JSONDecodeError"
    late = answers(program(), order(len(model), seconds=-1) + model)
    assert late == [] or late[0]["kind"] == "TimeoutError"  # or the closed pipe ends it first
