"""Exported files on an aarch64 processor, which qemu emulates: `make test-arm`."""

import os
import subprocess
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
import tf_keras as keras
from ai_edge_litert.interpreter import Interpreter

import keras_spp as spp
from tests.helpers.loopback import Board
from tests.zoo.models import random_probabilities, randomize

layers = keras.layers
INVOKE = """
import sys, numpy as np
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(model_path=sys.argv[1])
interpreter.allocate_tensors()
interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.load(sys.argv[2]))
interpreter.invoke()
np.save(sys.argv[3], interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
"""


@pytest.fixture(scope="module")
def python():
    if "KERAS_SPP_ARM_PYTHON" not in os.environ:
        pytest.skip("KERAS_SPP_ARM_PYTHON is not set: run `make test-arm`")
    return Path(os.environ["KERAS_SPP_ARM_PYTHON"]).resolve()


@pytest.fixture(scope="module")
def folder(python, tmp_path_factory):
    """dense.tflite and small.tflite, a pruned network with batch norm, an addition and a split."""
    folder = tmp_path_factory.mktemp("arm")
    image = keras.Input((16, 16, 3))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(32, 3, padding="same")(image)))
    x = layers.Add()([x, layers.DepthwiseConv2D(3, padding="same")(x)])
    x = layers.Conv2D(32, 3, strides=2, activation="relu")(x)
    model = randomize(keras.Model(image, layers.Dense(5)(layers.GlobalAveragePooling2D()(x))))
    pruned = spp.prune(model, 0.5, schedule=spp.SPPSchedule(frequency=1))
    random_probabilities(pruned, settled=True)
    spp.export_tflite(model, folder / "dense.tflite")
    spp.export_tflite(spp.shrink(pruned), folder / "small.tflite")
    spp.export_tflite(spp.shrink(pruned), folder / "dynamic.tflite", "dynamic")
    return folder


def invoke_here(path, x):
    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


@pytest.mark.parametrize(
    ("name", "tolerance"), [("dense", 1e-5), ("small", 1e-5), ("dynamic", 1e-2)]
)
def test_a_file_computes_on_arm_what_it_computes_here(python, folder, tmp_path, name, tolerance):
    x = np.random.default_rng(0).standard_normal((1, 16, 16, 3)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    path = folder / f"{name}.tflite"
    words = [python, "-c", INVOKE, path, tmp_path / "x.npy", tmp_path / "y.npy"]
    subprocess.run(words, check=True)
    here, there = invoke_here(path, x), np.load(tmp_path / "y.npy")
    assert np.abs(here - there).max() <= tolerance * np.abs(here).max() > 0


def test_files_are_timed_on_an_arm_board(python, folder, tmp_path):
    board = Board(tmp_path)
    try:
        files = {name: folder / f"{name}.tflite" for name in ("dense", "small")}
        report = spp.benchmark(files, board.address(quote(str(python))), runs=3)
    finally:
        board.stop()
    assert report.system.startswith("aarch64, ai_edge_litert ")
    assert [row.runs for row in report] == [3, 3]
    assert all(row.delegated_nodes == row.nodes for row in report)
