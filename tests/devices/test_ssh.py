"""Over a real sshd on the loopback interface; nothing of the connection is simulated."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

import flatbuffers
import numpy as np
import pytest
import tf_keras as keras
from ai_edge_litert import schema_py_generated as schema

from keras_spp.devices.benchmark import benchmark
from keras_spp.devices.ssh import Address, parse_address
from keras_spp.export.tflite import export_tflite
from tests.helpers.loopback import Board
from tests.helpers.sentences import refused

layers = keras.layers


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    board = Board(tmp_path_factory.mktemp("board"))
    yield board
    board.stop()


@pytest.fixture(autouse=True)
def _nothing_is_left_on_the_board(request):
    yield
    if "board" in request.fixturenames:
        assert list(request.getfixturevalue("board").storage.iterdir()) == []


@pytest.fixture(scope="module")
def dense(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "dense.tflite"
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, layers.Dense(3)(layers.Flatten()(layers.Conv2D(4, 3)(image))))
    export_tflite(model, path)
    return path


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    """A file of some milliseconds, so that its measurement can be disturbed."""
    path = tmp_path_factory.mktemp("models") / "slow.tflite"
    image = keras.Input((128, 128, 32))
    export_tflite(keras.Model(image, layers.Conv2D(64, 3)(image)), path)
    return path


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "tokens.tflite"
    export_tflite(
        keras.Sequential([keras.Input((7,), dtype="int32"), layers.Embedding(2, 4)]), path
    )
    return path


def script(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


# --- what is measured ---


def test_files_are_timed_on_the_board_as_on_this_machine(board, dense):
    address, parts = board.address(sys.executable), []
    options = {"runs": 7, "warmup": 1, "threads": 2}
    files = {"b": dense, "a": dense}
    there = benchmark(files, address, progress=parts.append, **options)
    here = benchmark(files, **options)
    assert there.device == address and there.system == here.system != ""
    for row, local in zip(there, here, strict=True):
        assert 0 < row.min_ms <= row.median_ms <= row.p90_ms <= row.p95_ms
        for key in ("name", "file_bytes", "nodes", "delegated_nodes", "threads", "runs"):
            assert getattr(row, key) == getattr(local, key)
    assert there[0].ratio == 1.0
    assert len(parts) == 7 and parts[-1] == 1.0


def test_the_delegate_is_that_of_the_board(board, dense):
    report = benchmark(dense, board.address(sys.executable), runs=1, delegate="none")
    assert report[0].delegated_nodes == 0


def test_inputs_arrive_on_the_board(board, tokens):
    address = board.address(sys.executable)
    assert benchmark(tokens, address, runs=1, inputs=np.ones((1, 7), np.int32))[0].runs == 1
    wrong = np.full((1, 7), 99, np.int32)
    refused(ValueError, r"`inputs` .* 'tokens' .* first run failed", tokens, address, inputs=wrong)
    short = np.ones((1, 6), np.int32)
    refused(
        ValueError, r"`inputs` must fit .*\(1, 7\) int32, but has", tokens, address, inputs=short
    )


def test_inputs_that_are_no_numbers_are_refused(board, tokens):
    address = board.address(sys.executable)
    nothing = np.full((1, 7), None)
    refused(ValueError, r"`inputs` must hold .* one of object", tokens, address, inputs=nothing)


def test_a_python_in_the_login_folder_is_found_as_users_write_it(board, dense, tmp_path):
    below = os.path.relpath(script(tmp_path / "a+ b$'", f'exec {sys.executable} "$@"'), Path.home())
    for path in (f"~/{below}", below):
        assert benchmark(dense, board.address(quote(path)), runs=1)[0].runs == 1


@pytest.mark.parametrize("name", ["a b.tflite", "$(touch owned);'\"`x`.tflite", "größe\n.tflite"])
def test_any_file_name_works(board, dense, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(dense.read_bytes())
    (row,) = benchmark(path, board.address(sys.executable), runs=1)
    assert row.name == path.stem
    assert list(tmp_path.iterdir()) == [path]


def test_two_files_of_one_base_name_are_told_apart(board, dense, tokens, tmp_path):
    for folder, file in (("x", dense), ("y", tokens)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "m.tflite").write_bytes(file.read_bytes())
    files = {"x": tmp_path / "x" / "m.tflite", "y": tmp_path / "y" / "m.tflite"}
    report = benchmark(files, board.address(sys.executable), runs=1)
    assert report[0].nodes != report[1].nodes


def test_what_the_boards_shell_prints_is_not_taken_for_an_answer(board, dense, tmp_path):
    noisy = script(
        tmp_path / "python", f'echo Welcome; echo; echo "{{}}"; exec {sys.executable} "$@"'
    )
    assert benchmark(dense, board.address(noisy), runs=1)[0].runs == 1


# --- what goes wrong with a file ---


def test_a_damaged_file_is_named(board, dense, tmp_path):
    (tmp_path / "cut.tflite").write_bytes(dense.read_bytes()[:-200])
    message = refused(
        ValueError, r"cut\.tflite.* cannot be loaded", tmp_path / "cut.tflite",
        board.address(sys.executable),
    )  # fmt: skip
    assert str(tmp_path) in message and str(board.storage) not in message


def with_custom_operation(source, target):
    """Copies a file, whose operations become those of a runtime that does not exist."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(source.read_bytes(), 0))
    for code in model.operatorCodes:
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
        code.customCode = "Unheard"
    for operator in model.subgraphs[0].operators:
        operator.builtinOptions, operator.builtinOptionsType = None, 0
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    target.write_bytes(bytes(builder.Output()))
    return target


@pytest.mark.parametrize("where", ["board", "local"])
def test_an_operation_that_the_runtime_lacks_is_named(where, request, dense, tmp_path):
    path = with_custom_operation(dense, tmp_path / "custom.tflite")
    device = where
    if where == "board":
        device = request.getfixturevalue("board").address(sys.executable)
    refused(ValueError, r"custom\.tflite.* needs an operation .* lacks \(.*Unheard", path, device)


# --- what goes wrong with the board ---


@pytest.mark.skipif(shutil.which("ssh") is None, reason="there is no ssh")
def test_an_unknown_host_is_named(dense):
    address = "ssh://me@no-such-host.invalid"
    refused(ConnectionError, r"`device` .* is unknown .*Could not resolve", dense, address)


def test_a_closed_port_is_named(board, dense):
    with socket.socket() as closed:  # bound, so nobody else listens there
        closed.bind(("127.0.0.1", 0))
        address = board.address(sys.executable, port=closed.getsockname()[1])
        refused(ConnectionError, r"`device` .* refuses the connection", dense, address)


def test_a_key_that_the_board_does_not_know_is_refused(board, dense):
    address = board.address(sys.executable, key="stranger")
    refused(ConnectionError, r"refuses the login .*Permission denied.*set up a key", dense, address)


def test_a_host_that_is_not_known_is_refused(board, dense):
    address = board.address(sys.executable, known="nobody")
    refused(ConnectionError, r"is not a known host .*connect once", dense, address)


def test_a_python_that_is_not_there_is_named(board, dense):
    address = board.address("/no/such/python")
    refused(OSError, r"has no Python at '/no/such/python' .*\?python=PATH", dense, address)


def test_a_python_without_the_runtime_is_named(board, dense, tmp_path):
    # -I -S: without the packages, as a board's own Python is
    bare = script(tmp_path / "python", f'exec {sys.executable} -I -S "$@"')
    refused(OSError, r"lacks .*No module named.*install ai-edge-litert", dense, board.address(bare))


def test_a_python_that_is_too_old_is_named(board, dense, tmp_path):
    pretend = "import sys; sys.version_info = (3, 6); exec(sys.argv[1])"
    old = script(tmp_path / "python", f'exec {sys.executable} -c "{pretend}" "$3"')
    refused(OSError, r"ended without .*Python 3\.9 or later is needed", dense, board.address(old))


def test_a_program_that_the_board_ends_is_no_lost_connection(board, dense, tmp_path):
    # As Linux does when its memory is full.
    words = f'(sleep 2; kill -9 $$) >/dev/null 2>&1 & exec {sys.executable} "$@"'
    address = board.address(script(tmp_path / "python", words))
    refused(OSError, r"stopped the program \(exit status", dense, address, runs=10_000_000)


def test_a_board_without_storage_is_named(board, dense, tmp_path):
    large = tmp_path / "large.tflite"
    large.write_bytes(dense.read_bytes() + bytes(100_000))
    mount = ["mount", "-t", "tmpfs", "-o", "size=8k", "none", board.storage]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a file system of 8 KiB is not permitted here")
    try:
        address = board.address(sys.executable)
        refused(OSError, r"cannot store the models \(.*No space left.*free some", large, address)
        assert list(board.storage.iterdir()) == []
    finally:
        subprocess.run(["umount", board.storage], check=True)


def test_a_host_that_does_not_answer_is_given_up(board, dense):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()  # accepts, and never says a word
        address = board.address(sys.executable, port=silent.getsockname()[1])
        refused(OSError, r"does not answer|`timeout` is 3 seconds", dense, address, timeout=3)


def test_a_board_that_is_too_slow_is_given_up_and_stops(board, dense, tmp_path):
    pid = tmp_path / "pid"
    slow = script(tmp_path / "python", f'echo $$ > {pid}; exec {sys.executable} "$@"')
    options = {"runs": 10_000_000, "timeout": 6}
    refused(TimeoutError, r"`timeout` is 6 seconds", dense, board.address(slow), **options)
    assert_ends(int(pid.read_text()))


def assert_ends(pid):
    for _ in range(400):
        if not Path(f"/proc/{pid}").exists():
            return
        time.sleep(0.05)
    raise AssertionError(f"process {pid} still runs")


class Drops:
    """Ends the connections of a board when a measurement is under way, some number of times."""

    def __init__(self, board, times):
        self.board, self.left, self.last = board, times, 1.0

    def __call__(self, part):
        begins, self.last = part <= self.last, part
        if begins and self.left:
            self.left -= 1
            for pid in self.board.sessions():
                os.kill(pid, signal.SIGKILL)


def test_a_dropped_connection_is_made_again(board, slow, tmp_path):
    pids = tmp_path / "pids"
    python = script(tmp_path / "python", f'echo $$ >> {pids}; exec {sys.executable} "$@"')
    drops = Drops(board, 1)
    (row,) = benchmark(slow, board.address(python), runs=100, retries=1, progress=drops)
    assert row.runs == 100 and drops.left == 0 and drops.last == 1.0
    first, second = map(int, pids.read_text().split())
    assert first != second
    assert_ends(first)


def test_a_connection_that_drops_every_time_is_given_up(board, slow):
    drops = Drops(board, 9)
    options = {"runs": 100, "retries": 1, "progress": drops}
    address = board.address(sys.executable)
    refused(ConnectionError, r"lost the connection 2 times \(", slow, address, **options)
    assert drops.left == 7


def test_an_interrupt_ends_the_measurement_on_the_board(board, dense, tmp_path):
    pid = tmp_path / "pid"
    python = script(tmp_path / "python", f'echo $$ > {pid}; exec {sys.executable} "$@"')

    def interrupt(_part):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        benchmark(dense, board.address(python), runs=100_000, progress=interrupt)
    assert_ends(int(pid.read_text()))


def test_a_computer_without_ssh_is_told_to_install_it(dense, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    refused(FileNotFoundError, r"there is no `ssh` on this computer", dense, "ssh://board")


# --- addresses ---


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        ("ssh://pi@board", Address("ssh://pi@board")),
        ("ssh://Board:2222/", Address("ssh://Board:2222")),
        ("ssh://pi@[::1]:22", Address("ssh://pi@[::1]:22")),
        ("ssh://b?python=~a/b%20c", Address("ssh://b", "~a/b c")),
        ("ssh://b?config=c&python=p", Address("ssh://b", "p", "c")),
        ("ssh://b?python=/c++/p%26=", Address("ssh://b", "/c++/p&=")),
    ],
)
def test_addresses_are_understood(device, expected):
    assert parse_address(device) == expected


@pytest.mark.parametrize(
    "device",
    ["ssh://", "ssh://b:x", "ssh://b:99999", "ssh://b/folder", "ssh://b?pyhton=p", "ssh://b?python",
     "ssh://b?python=", "ssh://b?=p", "ssh://@", "ssh://b#x", "ssh://[::1"],
)  # fmt: skip
def test_other_addresses_are_refused(device, dense):
    refused(ValueError, r"`device` must be ssh://\[user@\]host.* but is ", dense, device)


def test_a_password_is_refused_and_not_repeated(dense):
    message = refused(ValueError, r"`device` must not hold a password", dense, "ssh://a:secret@b")
    assert "secret" not in message


def test_a_host_is_never_taken_for_an_option_of_ssh(dense, tmp_path):
    device = f"ssh://-oProxyCommand=touch%20{tmp_path}%2Fowned"
    with pytest.raises((ValueError, OSError)):
        benchmark(dense, device, timeout=10)
    assert list(tmp_path.iterdir()) == []
