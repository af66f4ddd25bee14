"""The command itself: help, usage, completion, and what it does not import."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from keras_spp.cli import main

ROOT = Path(__file__).parents[2]
COMMANDS = sorted(main.commands)
FRAMEWORKS = (
    "tensorflow", "tensorflow_model_optimization", "tf_keras", "keras", "jax", "torch",
)  # fmt: skip


def invoke(*arguments):
    return CliRunner().invoke(main, arguments, prog_name="keras-spp")


def python(*arguments, **environment):
    return subprocess.run(
        [sys.executable, *arguments],
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("arguments", [[], *([name] for name in COMMANDS)])
def test_help_fits_80_columns(arguments):
    result = invoke(*arguments, "--help")
    assert result.exit_code == 0 and "Usage: keras-spp" in result.stdout
    assert [line for line in result.stdout.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_json_and_verbose(name):
    options = {option for parameter in main.commands[name].params for option in parameter.opts}
    assert {"--json", "--verbose"} <= options


def test_no_command_shows_the_help_and_the_exit_codes():
    result = invoke()
    assert result.exit_code == 0 and result.stderr == ""
    assert result.stdout == invoke("--help").stdout
    for code in ("0  done", "1  not possible", "2  wrong usage", "130  interrupted"):
        assert f"{code}" in result.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"], ["--version"], ["compress", "--help"], ["compress"], ["no-such-command"],
        ["metadata", "none.tflite"], ["analyze", "none.keras"],
        ["shrink", "none.keras", "small.keras"], ["export", "none.keras", "small.txt"],
        ["compress", "none.keras", "small.keras", "--data", "none.npy"],
    ],
)  # fmt: skip
def test_no_framework_is_imported_before_there_is_a_model(tmp_path, arguments):
    code = (
        "import runpy, sys\n"
        "try: runpy.run_module('keras_spp', run_name='__main__', alter_sys=True)\n"
        f"finally: print([name for name in {FRAMEWORKS} if name in sys.modules])"
    )
    done = python("-c", code, *(str(tmp_path / a) if "none" in a else a for a in arguments))
    assert done.stdout.splitlines()[-1] == "[]"


def test_python_m_is_the_command():
    done = python("-m", "keras_spp", "--help")
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout == invoke("--help").stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no-such-command"], "No such command 'no-such-command': see keras-spp --help"),
        (["--no-such-option"], "No such option"),
        (["export", "m.keras"], "Missing argument 'OUT.tflite': see keras-spp export --help"),
        (["export", "m.keras", "o.tflite", "--quantization=x"], "'x' is not one of"),
        (["analyze", "m.keras", "--input-shape=x"], "'x' is not a list such as 224,224,3"),
        (["benchmark", "m.tflite", "--runs=x"], "'x' is not a valid integer"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(arguments, words):
    result = invoke(*arguments)
    assert result.exit_code == 2 and result.stdout == ""
    assert result.stderr.startswith("Error: ") and result.stderr.endswith(".\n")
    assert result.stderr.count("\n") == 1 and words in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["shrink", "m.keras", "s.txt"], "SMALL must end in .keras or .h5 but is 's.txt'"),
        (["shrink", "m.keras", "none/s.keras"], "'none/s.keras' but the folder"),
        (["export", "m.keras", "s.keras"], "OUT.tflite must end in .tflite but is 's.keras'"),
        (["export", "m.keras", "none/s.tflite"], "'none/s.tflite' but the folder"),
        (["export", "m.keras", "s.tflite", "--cache", "none/c.json"], "'none/c.json' but the"),
        (["compress", "m.keras", "none/s.h5", "--data=x.npy"], "'none/s.h5' but the folder"),
        (
            ["compress", "m.keras", "s.h5", "--data=x.npy", "--tflite=none/s.tflite"],
            "'none/s.tflite' but the folder",
        ),
        (
            ["compress", "m.keras", "s.h5", "--data=x.npy", "--tflite=s.h5"],
            "OUT.tflite must end in .tflite but is 's.h5'",
        ),
        (["compress", "m.keras", "s.h5", "--data=none.npy"], "'none.npy' does not exist"),
    ],
)
def test_what_cannot_be_read_or_written_is_said_before_the_model_is_loaded(
    arguments, words, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("keras_spp.load_model", lambda *_, **__: pytest.fail("loads the model"))
    (tmp_path / "m.keras").touch()
    np.save("x.npy", np.zeros(3))
    before = sorted(tmp_path.iterdir())
    result = invoke(*arguments)
    assert result.exit_code == 1 and result.stdout == "" and words in result.stderr
    assert result.stderr.startswith("Error: ") and result.stderr.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_can_complete(shell):
    done = python("-m", "keras_spp", _KERAS_SPP_COMPLETE=f"{shell}_source", PATH="/usr/bin:/bin")
    assert done.returncode == 0 and "keras-spp" in done.stdout and done.stderr == ""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("keras-spp ", set(COMMANDS)),
        ("keras-spp comp", {"compress"}),
        ("keras-spp export m.keras o.tflite --quantization in", {"int8", "int16x8"}),
    ],
)
def test_what_is_completed(words, expected):
    done = python(
        "-m", "keras_spp",
        _KERAS_SPP_COMPLETE="bash_complete",
        COMP_WORDS=words,
        COMP_CWORD=str(len(words.split(" ")) - 1),
    )  # fmt: skip
    assert {line.partition(",")[2] for line in done.stdout.splitlines()} == expected
