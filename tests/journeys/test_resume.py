"""A run that is killed and started again ends bit for bit as one that nothing has disturbed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.killed import Resumable

ROOT = Path(__file__).parents[2]


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "tests.helpers.resumable", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


RUN = Resumable(run, steps=125)


def test_killed_when_a_group_dies_and_in_the_middle_of_a_backup_at_the_switch(tmp_path):
    arguments = ["--save-freq", "7"]
    folder = tmp_path / "killed"
    assert RUN.start(folder, *arguments, "--kill", "group") == -signal.SIGKILL
    assert RUN.start(folder, *arguments, "--kill", "finished/writing") == -signal.SIGXFSZ
    half = [path for path in (folder / "backup" / "chief").rglob("*") if path.stat().st_size > 2900]
    assert len(half) > 1, "a whole checkpoint and what there is of the next"
    RUN.assert_as_undisturbed(tmp_path, *arguments)


@pytest.mark.slow
def test_killed_between_the_last_decision_and_what_makes_up_for_it(tmp_path):
    # The callback that writes comes first: what it has written is decided and not compensated.
    arguments = ["--save-freq", "1", "--optimizer", "momentum", "--compensate", "--reverse"]
    assert RUN.start(tmp_path / "killed", *arguments, "--kill", "finished") == -signal.SIGKILL
    RUN.assert_as_undisturbed(tmp_path, *arguments)


WAYS = {
    "keras-epoch": ["--way", "keras", "--optimizer", "adam"],
    "keras-batches": ["--way", "keras", "--optimizer", "momentum", "--save-freq", "4"],
    "backup-taylor": ["--optimizer", "adamw", "--score", "taylor", "--save-freq", "3"],
    "backup-column": ["--optimizer", "momentum", "--granularity", "column", "--save-freq", "10"],
    "backup-reverse": ["--optimizer", "adamw", "--save-freq", "5", "--reverse"],
    "backup-compensated": ["--save-freq", "5", "--score", "reconstruction", "--compensate"],
    "file": ["--way", "file", "--optimizer", "adamw"],
    "file-compensated": ["--way", "file", "--granularity", "column", "--compensate"],
    "file-column": ["--way", "file", "--optimizer", "momentum", "--granularity", "column"],
    "loop": ["--way", "loop", "--score", "taylor", "--save-freq", "6"],
    "loop-momentum": ["--way", "loop", "--optimizer", "momentum", "--save-freq", "1"],
}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_killed_at_random_steps_and_writes(way, tmp_path):
    RUN.kill_at_random(tmp_path, way, *WAYS[way])
