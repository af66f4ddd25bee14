"""The command that times files."""

import json
from pathlib import Path

import pytest

import keras_spp as spp
from tests.helpers.commands import fails, succeeds


def test_benchmark_prints_one_row_per_file(run):
    printed = succeeds(
        run("benchmark", "dense={folder}/plain.tflite", "{folder}/plain.tflite", "--runs=3")
    )
    assert " dense " in printed and " plain " in printed and "runs 3" in printed


def test_benchmark_as_json_holds_names_threads_and_runs(run):
    printed = succeeds(
        run("benchmark", "a={folder}/plain.tflite", "--threads=2", "--runs=3", "--json")
    )
    (row,) = json.loads(printed)["rows"]
    assert (row["name"], row["threads"], row["runs"]) == ("a", 2, 3)
    assert row["median_ms"] > 0


def test_benchmark_takes_a_file_with_an_equals_sign_in_its_name(run, folder, tmp_path):
    (tmp_path / "ratio=0.5.tflite").write_bytes((folder / "plain.tflite").read_bytes())
    printed = succeeds(run("benchmark", "ratio=0.5.tflite", "--runs=1", "--json"))
    assert json.loads(printed)["rows"][0]["name"] == "ratio=0.5"


def test_benchmark_refuses_two_files_of_one_name(run):
    fails(run("benchmark", "{folder}/plain.tflite", "{folder}/plain.tflite"), "'plain'", "NAME=")


def test_benchmark_names_a_missing_file(run):
    fails(run("benchmark", "a=missing.tflite"), "'missing.tflite'", "does not exist")


def test_benchmark_names_a_truncated_file(run, folder, tmp_path):
    whole = (folder / "plain.tflite").read_bytes()
    (tmp_path / "cut.tflite").write_bytes(whole[: len(whole) // 2])
    fails(run("benchmark", "cut.tflite"), "'cut.tflite'", "damaged")


def test_benchmark_refuses_what_is_not_tflite(run):
    fails(run("benchmark", "{folder}/plain.keras"), "not a TFLite file")


def test_benchmark_passes_its_options_on(run, monkeypatch):
    given = {}
    real = spp.benchmark

    def record(models, **options):
        given.update(options)
        return real(models, runs=1)

    monkeypatch.setattr(spp, "benchmark", record)
    succeeds(run("benchmark", "{folder}/plain.tflite"))
    assert given == {
        "device": "local", "threads": 1, "runs": 50, "warmup": 5, "delegate": "xnnpack",
        "binary": None, "timeout": None, "retries": 2,
    }  # fmt: skip
    succeeds(
        run(
            "benchmark", "{folder}/plain.tflite", "--device=android:X1", "--threads=2", "--runs=7",
            "--warmup=0", "--delegate=gpu", "--binary=b", "--timeout=9.5", "--retries=0",
        )
    )  # fmt: skip
    assert given == {
        "device": "android:X1", "threads": 2, "runs": 7, "warmup": 0, "delegate": "gpu",
        "binary": Path("b"), "timeout": 9.5, "retries": 0,
    }  # fmt: skip


def test_benchmark_shows_its_progress_in_a_terminal_beside_the_json(run, monkeypatch):
    monkeypatch.setattr("keras_spp.cli.common._in_terminal", lambda: True)
    monkeypatch.setattr("keras_spp.util.progress._PAUSE", 0.0)
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes it for a terminal
    result = run("benchmark", "{folder}/plain.tflite", "--runs=3", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["rows"][0]["runs"] == 3
    for part in ("benchmark", "33%", "100%"):
        assert part in result.stderr


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--device=cloud", "`device` must be"),
        ("--delegate=nnapi", "`delegate` must be one of 'xnnpack', 'none' on 'local'"),
        ("--binary=x", "`binary` must be None"),
        ("--timeout=0", "`timeout` must be"),
        ("--retries=-1", "`retries` must be"),
        ("--device=ssh://a:b@c", "must not hold a password"),
    ],
)
def test_benchmark_names_a_wrong_option(run, option, words):
    fails(run("benchmark", "{folder}/plain.tflite", option), words)
