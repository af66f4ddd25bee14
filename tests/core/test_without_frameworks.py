"""The theory needs NumPy and SciPy: its modules, and its tests, in a process without frameworks."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
WITHOUT_FRAMEWORKS = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {
            "jax", "keras", "tensorflow", "tensorflow_model_optimization", "tf_keras", "torch",
        }:
            raise ImportError(f"{name} is not there")

sys.meta_path.insert(0, Absent())
"""
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for folder in ("core", "rules", "devices", "util")
    for path in (ROOT / "keras_spp" / folder).glob("*.py")
)
TESTS = sorted(
    str(path.relative_to(ROOT))
    for path in Path(__file__).parent.glob("test_*.py")
    if path != Path(__file__)
)


def run(program):
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_FRAMEWORKS + program],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
    )


def test_the_process_of_these_tests_has_no_frameworks():
    for name in ("tensorflow", "tf_keras", "keras"):
        assert f"ImportError: {name} is not there" in run(f"import {name}").stderr


def test_every_module_below_the_frameworks_is_imported():
    assert len(MODULES) > 30 and "keras_spp.core.pace" in MODULES
    result = run("".join(f"import {name}\n" for name in MODULES))
    assert result.returncode == 0, result.stderr


def test_the_theory_is_tested_without_a_framework():
    assert len(TESTS) >= 13
    options = ["-q", "--noconftest", "-p", "no:cacheprovider", "-p", "no:xdist"]
    result = run(f"import pytest\nsys.exit(pytest.main({options + TESTS!r}))")
    assert result.returncode == 0, result.stdout + result.stderr
    assert " passed" in result.stdout and "skipped" not in result.stdout
