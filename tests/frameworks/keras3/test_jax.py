"""The same on JAX, in a process that cannot import TensorFlow; skipped where there is no JAX."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytest.importorskip("jax")
pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]
WITHOUT_TENSORFLOW = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"tensorflow", "tensorflow_model_optimization", "tf_keras"}:
            raise ImportError(f"{name} is not there")

sys.meta_path.insert(0, Absent())

import keras, numpy as np, keras_spp as spp
from tests.helpers.keras3 import check_exact
from tests.zoo import keras3_models as zoo

assert keras.backend.backend() == "jax"
"""


def run(program):
    return subprocess.run(
        [sys.executable, "-P", "-c", WITHOUT_TENSORFLOW + textwrap.dedent(program)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
             "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
    )  # fmt: skip


def test_models_shrink_exactly():
    result = run("""
        for name in zoo.STEPS:
            check_exact(zoo.step_model(name))
        for seed in range(3):
            check_exact(zoo.random_model(seed), share=0.6, seed=seed)
        print("done")
    """)
    assert result.stdout.strip() == "done", result.stderr


def test_models_are_compressed_and_what_needs_more_is_refused():
    result = run("""
        L = keras.layers
        model = keras.Sequential([
            keras.Input((8, 8, 3)), L.Conv2D(12, 3, use_bias=False), L.BatchNormalization(),
            L.ReLU(), L.Conv2D(12, 3, activation="relu"), L.GlobalAveragePooling2D(), L.Dense(4)])
        zoo.randomize(model)
        data = np.random.default_rng(0).normal(size=(64, 8, 8, 3)).astype("float32")
        small, report = spp.compress(model, data, round_to=1, verbose=0, return_report=True)
        assert report.speedup >= 2 and report.outputs[0].lost < 0.5, report
        spp.reestimate_batch_norm(small, data)
        for allocation in (spp.Uniform(), spp.Sensitivity(verbose=0)):
            spp.compress(model, data, 1.5, allocation=allocation, round_to=1, verbose=0)
        for options in ({"allocation": spp.Fisher()}, {"target_latency": 0.5}):
            try:
                spp.compress(model, data, round_to=1, verbose=0, **options)
            except (NotImplementedError, TypeError) as error:
                print(type(error).__name__, str(error).partition(" ")[0])
    """)
    refused = "NotImplementedError `allocation`\nTypeError `model`"
    assert result.stdout.strip() == refused, result.stderr
