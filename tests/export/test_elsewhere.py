"""Models on another backend are converted by a process on TensorFlow; here they only pretend."""

import os
import sys

import keras
import numpy as np
import pytest

import keras_spp as spp
from keras_spp.export import elsewhere
from keras_spp.frameworks.keras3 import adapter
from tests.export.test_packing import Scripted, pruned_net
from tests.helpers.sentences import assert_one_sentence
from tests.zoo.keras3_models import L, random_model, randomize

X = np.random.default_rng(0).normal(size=(40, 8, 8, 3)).astype("float32")


@pytest.fixture
def started(monkeypatch):
    """Sends every Keras 3 model elsewhere; holds the processes that were started."""
    started, popen = [], elsewhere.subprocess.Popen

    def start(*args, **options):
        started.append(popen(*args, **options))
        return started[-1]

    monkeypatch.setattr(adapter, "backend", lambda: "another")
    monkeypatch.setattr(elsewhere.subprocess, "Popen", start)
    yield started
    assert all(process.poll() is not None for process in started)


def net(*layers):
    first = [keras.Input((8, 8, 3)), L.Conv2D(8, 3, activation="relu")]
    model = keras.Sequential([*first, *layers, L.GlobalAveragePooling2D(), L.Dense(4)])
    return randomize(model)


def test_one_process_makes_the_files_that_are_made_here(tmp_path, started):
    model = net()
    before = dict(os.environ)
    with elsewhere.kept_open():
        for quantization in ("none", "float16", "dynamic", "int8", "int16x8"):
            data = X if quantization.startswith("int") else None
            path = tmp_path / f"{quantization}.tflite"
            spp.export_tflite(model, path, quantization, representative_data=data)
            (row,) = spp.parity(model, path, X)
            assert row.max_difference < (0.05 if data is not None else 1e-2) * row.largest
    assert len(started) == 1 and dict(os.environ) == before
    assert keras.backend.backend() == "tensorflow"


@pytest.mark.slow
def test_each_export_has_a_process_of_its_own(tmp_path, started):
    a, b = keras.Input((3,), name="zoom"), keras.Input((2,), name="aux")
    model = keras.Model({"q": a, "p": b}, {"two": L.Dense(2)(a), "one": L.Dense(3)(b)})
    report = spp.export_tflite(randomize(model), tmp_path / "m.tflite", batch_size=2)
    assert [tensor.name for tensor in report.inputs] == ["p", "q"]
    assert [tensor.shape for tensor in report.outputs] == [(2, 3), (2, 2)]
    data = [{"q": X[:, 0, 0], "p": X[:, 0, 0, :2]}]
    for row in spp.parity(model, tmp_path / "m.tflite", data):
        assert row.max_difference < 1e-5 * row.largest
    assert len(started) == 1


@pytest.mark.slow
def test_pruned_columns_are_left_out_there_too(tmp_path, started):
    model, x = pruned_net(keras)
    device = Scripted(dense=3, gather=2, rows=1)
    report = spp.export_tflite(model, tmp_path / "m.tflite", batch_size=2, device=device)
    assert {row.layer: row.layout for row in report.packed} == dict.fromkeys(
        ["one", "shared", "nested"], "rows"
    )
    (row,) = spp.parity(model, tmp_path / "m.tflite", x)
    assert row.max_difference < 1e-5 * row.largest
    assert len(started) == 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_random_networks(seed, tmp_path, started):
    model = random_model(seed)
    spp.export_tflite(model, tmp_path / "m.tflite")
    generator = np.random.default_rng(seed)
    x = [generator.normal(size=(6, *tensor.shape[1:])) for tensor in model.inputs]
    for row in spp.parity(model, tmp_path / "m.tflite", [x]):
        assert row.max_difference < 1e-4 * row.largest


OWN = """
import keras

@keras.saving.register_keras_serializable(package="own_elsewhere")
class Twice(keras.layers.Layer):
    def call(self, x):
        return 2 * x

@keras.saving.register_keras_serializable(package="own_elsewhere")
def halved(x):
    return keras.ops.relu(x) / 2
"""


def test_layers_and_functions_of_ones_own_come_from_their_modules(tmp_path, monkeypatch, started):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_elsewhere.py").write_text(OWN)
    import own_elsewhere

    model = net(own_elsewhere.Twice(), L.Conv2D(4, 1, activation=own_elsewhere.halved))
    spp.export_tflite(model, tmp_path / "m.tflite")
    (row,) = spp.parity(model, tmp_path / "m.tflite", X)
    assert row.max_difference < 1e-5 * row.largest


class Unregistered(L.Layer):
    def call(self, x):
        return 3 * x


class Unsaved(L.Layer):
    def __init__(self, size, **options):
        super().__init__(**options)

    def call(self, x):
        return x

    def get_config(self):
        raise RuntimeError("of no use")


REFUSED = (
    (
        Unregistered(),
        r"`model` must be one that another process can load, .* locate class 'Unregistered'\): "
        r"define its own layers .* and register them with keras\.saving\.",
    ),
    (Unsaved(1), r"`model` must be one that Keras can save .* 'another', .* \(of no use\)"),
    (
        L.Conv2D(8, 1, name="with space"),
        r"TensorFlow can compute, too, .* \('with space' is not a valid scope name\)",
    ),
    (L.Conv2D(8, 1, dtype="mixed_float16"), "`model` must compute in float32 but .* float16"),
)


def test_what_cannot_be_done_there_is_said_in_one_sentence(tmp_path, started):
    (tmp_path / "m.tflite").write_text("previous")
    with elsewhere.kept_open():
        for layer, message in REFUSED:
            with pytest.raises(ValueError, match=message) as error:
                spp.export_tflite(net(layer), tmp_path / "m.tflite")
            assert_one_sentence(error, 600)
            assert (tmp_path / "m.tflite").read_text() == "previous"
        spp.export_tflite(net(), tmp_path / "m.tflite")  # the process goes on
    assert len(started) == 1


def test_a_lack_of_tensorflow_is_said_in_one_sentence(tmp_path, monkeypatch, started):
    (tmp_path / "tensorflow.py").write_text("raise ImportError('No module named tensorflow')")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(ImportError, match=r"needs TensorFlow, .* run `pip install") as error:
        spp.export_tflite(net(), tmp_path / "m.tflite")
    assert_one_sentence(error)


def test_a_process_that_ends_is_an_error_of_one_sentence(tmp_path, monkeypatch, started):
    call = elsewhere._Process.call

    def killed(self, method, *args):
        if method == "convert":
            started[0].kill()
            started[0].wait()
        return call(self, method, *args)

    monkeypatch.setattr(elsewhere._Process, "call", killed)
    with pytest.raises(ChildProcessError, match="which has ended") as error:
        spp.export_tflite(net(), tmp_path / "m.tflite")
    assert_one_sentence(error)
    assert not any(tmp_path.iterdir())
