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


def run(program, *arguments):
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_TENSORFLOW + textwrap.dedent(program), *arguments],
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
        try:
            spp.compress(model, data, round_to=1, verbose=0, allocation=spp.Fisher())
        except NotImplementedError as error:
            print(str(error).partition(" ")[0])
    """)
    assert result.stdout.strip() == "`allocation`", result.stderr


def test_files_are_made_by_a_process_that_has_tensorflow(tmp_path):
    result = run("""
        import os
        from keras_spp.devices.device import Device
        from keras_spp.export.elsewhere import kept_open
        L = keras.layers
        x = inputs = keras.Input((12, 12, 3))
        for width in (24, 32, 32):
            x = L.Conv2D(width, 3, activation="relu")(x)
        model = keras.Model(inputs, L.Dense(4)(L.GlobalAveragePooling2D()(x)))
        zoo.randomize(model)
        data = np.random.default_rng(0).normal(size=(64, 12, 12, 3)).astype("float32")
        small = spp.compress(model, data, 1.5, round_to=4, verbose=0)
        path = os.path.join(sys.argv[1], "m.tflite")
        with kept_open():
            for quantization in ("none", "float16", "dynamic", "int8", "int16x8"):
                samples = data if quantization.startswith("int") else None
                spp.export_tflite(small, path, quantization, representative_data=samples)
                (row,) = spp.parity(small, path, data)
                assert row.max_difference < 0.05 * row.largest, row
                assert spp.read_metadata(path)["pruned"]["speedup"] >= 1.5
        columns = spp.compress(
            model, data, pruning_ratio=0.5, granularity="column", round_to=1, verbose=0)
        report = spp.export_tflite(columns, path)
        assert len(report.packed) == 3, report
        (row,) = spp.parity(columns, path, data)
        assert row.max_difference < 1e-4 * row.largest, row
        spp.compare_rounding(model, 1.5, round_to=[4, 8])

        class Steady(Device):
            def measure(self, files):
                self._latencies |= {key: 1e-6 * len(file) for key, file in files.items()}

            def time(self, paths):
                from types import SimpleNamespace
                paths = list(paths.values()) if isinstance(paths, dict) else [paths]
                sizes = [path.stat().st_size for path in paths]
                return [SimpleNamespace(median_ms=n, ratio=sizes[0] / n) for n in sizes]

        fast = spp.compress(
            model, data, target_latency=0.6, device=Steady(), round_to=1, verbose=0,
            allocation=spp.Uniform())
        assert spp.analyze(fast).macs < spp.analyze(model).macs
        assert os.environ["KERAS_BACKEND"] == keras.backend.backend() == "jax"
        assert "tensorflow" not in sys.modules
        print("done")
    """, str(tmp_path))  # fmt: skip
    assert result.stdout.strip() == "done", result.stderr
