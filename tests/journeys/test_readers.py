"""Damaged files of every kind that is read: a sentence or a sound result, and nothing else."""

import json
import math

import flatbuffers
import numpy as np
import pytest
import tf_keras as keras
from ai_edge_litert import schema_py_generated as schema
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import keras_spp as spp
from keras_spp.cli.common import samples_in
from keras_spp.devices.benchmark_model import Output
from keras_spp.frameworks.tf_keras.loading import load_model
from tests.devices.test_benchmark_model import read as benchmark_output
from tests.helpers.sentences import assert_one_sentence
from tests.zoo.models import L, randomize

places = st.floats(0, 1, exclude_max=True)  # as a share of the file
flips = st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=8)
broken_off = st.tuples(st.just("cut"), places) | st.tuples(st.just("other"), st.binary(max_size=64))
damages = st.one_of(
    broken_off,
    st.tuples(st.just("flip"), flips),
    st.tuples(st.just("flip"), flips),
    st.tuples(st.just("insert"), places, st.binary(min_size=1, max_size=64)),
    st.tuples(st.just("zero"), places, places),
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


def damaged(content, damage):
    kind, *how = damage
    content, size = bytearray(content), len(content)
    if kind == "cut":
        return bytes(content[: int(how[0] * size)])
    if kind == "flip":
        for place, value in how[0]:
            content[int(place * size)] = value
    elif kind == "insert":
        content[int(how[0] * size) : int(how[0] * size)] = how[1]
    elif kind == "zero":
        first, last = sorted(int(place * size) for place in how)
        content[first:last] = bytes(last - first)
    else:
        return bytes(content[:8]) + how[0]
    return bytes(content)


def result_or_sentence(read, *kinds):
    """What a reader gives, or None if it refuses with a sentence of one of these kinds."""
    try:
        return read()
    except kinds as error:
        message = str(error)
        assert message.endswith(".") and "\n" not in message and len(message) < 600, message
        return None


@pytest.fixture(params=[40, pytest.param(2000, marks=pytest.mark.slow)])
def fuzz(request):
    """Runs a check on examples: a few that are always the same, or many that never are."""

    def fuzz(check, *strategies, share=1.0):
        settings(
            max_examples=int(request.param * share),
            derandomize=request.param == 40,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
            database=None,
        )(given(*strategies)(check))()

    return fuzz


@pytest.fixture(scope="module")
def tflite(tmp_path_factory):
    """A model and the content of its file."""
    model = randomize(
        keras.Sequential([keras.Input((6, 6, 2)), L.Conv2D(4, 3), L.Flatten(), L.Dense(3)])
    )
    path = tmp_path_factory.mktemp("readers") / "m.tflite"
    spp.export_tflite(model, path, pack=False)
    return model, path.read_bytes()


def test_metadata_is_a_dict_or_a_sentence(fuzz, tflite, tmp_path):
    path = tmp_path / "m.tflite"

    def check(damage):
        path.write_bytes(damaged(tflite[1], damage))
        found = result_or_sentence(lambda: spp.read_metadata(path), ValueError)
        assert found is None or isinstance(found, dict)

    fuzz(check, damages)


def test_a_tflite_file_that_is_broken_off_is_refused(fuzz, tflite, tmp_path):
    """Not of any damage: TFLite may end the process on a whole file with absurd numbers in it."""
    model, content = tflite
    path, x = tmp_path / "m.tflite", np.ones((2, 6, 6, 2), np.float32)

    def check(damage):
        path.write_bytes(damaged(content, damage))
        for read in (
            lambda: spp.benchmark(path, runs=1, warmup=0),
            lambda: spp.parity(model, path, x),
        ):
            assert result_or_sentence(read, ValueError) is None

    fuzz(check, broken_off)


def test_a_tflite_file_that_fails_while_it_runs_is_refused(tflite, tmp_path):
    model, content = tflite
    file = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    (kernel,) = (tensor for tensor in file.subgraphs[0].tensors if list(tensor.shape) == [3, 64])
    file.buffers[kernel.buffer].data = None
    builder = flatbuffers.Builder(len(content))
    builder.Finish(file.Pack(builder), b"TFL3")
    (tmp_path / "m.tflite").write_bytes(builder.Output())
    with pytest.raises(ValueError, match=r"`path` .* cannot run") as error:
        spp.parity(model, tmp_path / "m.tflite", np.ones((2, 6, 6, 2), np.float32))
    assert_one_sentence(error)
    with pytest.raises(ValueError) as error:
        spp.benchmark(tmp_path / "m.tflite", runs=1)
    assert_one_sentence(error)


def test_a_cache_of_latencies_is_numbers_or_a_sentence(fuzz, tmp_path):
    path = tmp_path / "cache.json"
    label = {"device": "android", "threads": 1, "delegate": "xnnpack", "system": "s"}
    whole = {**label, "milliseconds": {"a": 1.5, "b": 2}}

    def check(damage, key, value):
        for content in (
            damaged(json.dumps(whole).encode(), damage),
            json.dumps({**whole, key: value}).encode(),
            json.dumps({**whole, "milliseconds": {"a": value}}).encode(),
            json.dumps(value).encode(),
        ):
            path.write_bytes(content)
            device = result_or_sentence(lambda: spp.Device("android", cache=path), ValueError)
            if device is not None and device.knows(["a"]):
                assert 0 < device.latency("a") < math.inf

    fuzz(check, damages, st.sampled_from(sorted(whole)), anything)


def test_a_cache_of_sensitivities_is_numbers_or_a_sentence(fuzz, tmp_path):
    path = tmp_path / "cache.json"
    whole = {"key": {"set": [0.0, 0.5, 1.0]}}

    def check(damage, value):
        for content in (
            damaged(json.dumps(whole).encode(), damage),
            json.dumps({"key": value}).encode(),
            json.dumps({"key": {"set": value}}).encode(),
            json.dumps(value).encode(),
        ):
            path.write_bytes(content)
            found = result_or_sentence(lambda: spp.Sensitivity(cache=path)._file.read(), ValueError)
            for rises in (rises for known in (found or {}).values() for rises in known.values()):
                assert all(math.isfinite(float(rise)) for rise in rises)

    fuzz(check, damages, anything)


def test_what_benchmark_model_prints_is_numbers_or_a_sentence(fuzz):
    def check(name, damage):
        def change(text):
            return damaged(text.encode(), damage).decode(errors="replace")

        found = result_or_sentence(lambda: benchmark_output(name, change=change), ValueError)
        assert found is None or (isinstance(found, Output) and 0 < found.median <= found.p95)

    fuzz(check, st.sampled_from(["cpu_dense", "all_the_same", "gpu"]), damages)


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_samples_are_arrays_or_a_sentence(fuzz, tmp_path, name):
    path = tmp_path / name
    x = np.ones((3, 4), np.float32)
    np.save(path, x) if name == "x.npy" else np.savez(path, x=x, labels=np.arange(3))
    whole = path.read_bytes()

    def check(damage):
        path.write_bytes(damaged(whole, damage))
        result_or_sentence(lambda: samples_in(path, "data"), ValueError)

    fuzz(check, damages)


@pytest.mark.parametrize(("name", "damages"), [("m.keras", damages), ("m.h5", broken_off)])
def test_a_damaged_model_is_a_model_or_a_sentence(fuzz, tmp_path, name, damages):
    """HDF5 files that are broken off: over some other bytes its library loops for ever."""
    model = randomize(keras.Sequential([keras.Input((4,)), L.Dense(3), L.BatchNormalization()]))
    path = tmp_path / name
    model.save(path)
    whole = path.read_bytes()

    def check(damage):
        path.write_bytes(damaged(whole, damage))
        loaded = result_or_sentence(lambda: load_model(path), ValueError)
        assert loaded is None or isinstance(loaded, keras.Model)

    fuzz(check, damages, share=0.25)
