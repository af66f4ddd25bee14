import importlib
import json
import os
import random

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from keras_spp.devices import runner
from keras_spp.devices.benchmark import BenchmarkReport, benchmark
from keras_spp.devices.job import Measurement, Timing
from keras_spp.export.tflite import export_tflite
from tests.helpers.sentences import assert_one_sentence

layers = keras.layers
# keras_spp.devices.benchmark, as an attribute, is the function.
module = importlib.import_module("keras_spp.devices.benchmark")


def export(path, model):
    export_tflite(model, path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("benchmark")


@pytest.fixture(scope="module")
def conv(folder):
    """A file with two inputs, all of whose four operations XNNPACK takes."""
    image, side = keras.Input((8, 8, 3)), keras.Input((5,))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(image))
    model = keras.Model([image, side], layers.Concatenate()([x, layers.Dense(3)(side)]))
    return export(folder / "conv.tflite", model)


@pytest.fixture(scope="module")
def mixed(folder):
    """A file with a CUMSUM, which XNNPACK does not take, between two DENSE, which it does."""
    x = keras.Input((4,))
    middle = tf.math.cumsum(layers.Dense(6)(x), axis=1)
    return export(folder / "mixed.tflite", keras.Model(x, layers.Dense(2)(middle)))


@pytest.fixture(scope="module")
def tokens(folder):
    model = keras.Sequential([keras.Input((7,), dtype="int32"), layers.Embedding(2, 4)])
    return export(folder / "tokens.tflite", model)


# --- what is measured ---


def test_one_row_per_file_in_the_order_given(conv, mixed):
    report = benchmark({"b": conv, "a": str(mixed)}, threads=2, runs=7, warmup=1)
    assert isinstance(report, BenchmarkReport)
    assert [row.name for row in report] == ["b", "a"]
    assert len(report) == 2 and report[-1] is report.entries[1]
    for row, path in zip(report, (conv, mixed), strict=True):
        assert 0 < row.min_ms <= row.median_ms <= row.p90_ms
        assert row.file_bytes == path.stat().st_size
        assert (row.threads, row.runs) == (2, 7)
    assert report[0].ratio == 1.0
    assert report[1].ratio > 0


def test_delegated_nodes_leave_out_what_xnnpack_does_not_take(conv, mixed):
    report = benchmark([conv, mixed], runs=1, warmup=0)
    assert [(row.nodes, row.delegated_nodes) for row in report] == [(4, 4), (3, 2)]


def test_delegated_nodes_are_unknown_when_the_interpreter_does_not_tell(conv, monkeypatch):
    monkeypatch.delattr(runner.Interpreter, "_get_ops_details")
    report = benchmark(conv, runs=1)
    assert report[0].nodes == 4
    assert report[0].delegated_nodes is None
    assert "?" in str(report)


def test_files_are_invoked_in_turn_after_the_warm_up(conv, monkeypatch):
    order = []

    class Recorder(runner.Interpreter):
        made = 0

        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.label = "ab"[Recorder.made]
            Recorder.made += 1

        def invoke(self):
            order.append(self.label)
            super().invoke()

    monkeypatch.setattr(runner, "Interpreter", Recorder)
    benchmark({"a": conv, "b": conv}, runs=3, warmup=2)
    assert "".join(order) == "ab" + "aabb" + "ab" + "ba" + "ab"  # trial, warm-up, three rounds


def test_statistics_are_those_of_the_recorded_rounds(conv, monkeypatch):
    def measure(job):
        recorded = [Timing.of([4_000_000, 2_000_000, 3_000_000], 4), Timing.of([1_000_000] * 3, 0)]
        return Measurement(recorded, "a machine")

    monkeypatch.setattr(module, "find_device", lambda device: measure)
    report = benchmark({"dense": conv, "small": conv})
    dense, small = report
    assert (dense.median_ms, dense.min_ms, dense.runs) == (3.0, 2.0, 3)
    assert (dense.p90_ms, dense.p95_ms) == (pytest.approx(3.8), pytest.approx(3.9))
    assert (dense.ratio, small.ratio) == (1.0, 3.0)
    assert report.system == "a machine" and "a machine" in str(report)


def test_without_a_delegate_no_node_is_delegated(conv):
    assert benchmark(conv, runs=1, delegate="none")[0].delegated_nodes == 0


def test_progress_is_told_between_rounds_and_ends_at_one(conv):
    for runs, calls in ((3, 3), (100, 20)):
        parts = []
        benchmark(conv, runs=runs, progress=parts.append)
        assert len(parts) == calls and parts == sorted(parts) and parts[-1] == 1.0


def test_a_measurement_that_does_not_end_in_time_is_given_up(conv):
    with pytest.raises(TimeoutError, match=r"`timeout` is 0\.2 seconds but 'local'") as error:
        benchmark(conv, runs=10_000_000, timeout=0.2)
    assert_one_sentence(error)


@pytest.mark.parametrize(
    "kind", [str, lambda path: path, lambda path: [path], lambda path: (path,)]
)
def test_paths_without_names_are_named_after_the_file(conv, kind):
    assert [row.name for row in benchmark(kind(conv), runs=1)] == ["conv"]


def test_paths_with_spaces_and_unicode_work(folder, conv):
    path = folder / "kleines Größenwunder.tflite"
    path.write_bytes(conv.read_bytes())
    assert benchmark(str(path), runs=1)[0].name == "kleines Größenwunder"


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64", "bool", "float32"])
def test_random_inputs_are_repeatable_and_in_range(dtype):
    detail = {
        "name": "x",
        "shape": np.array([1, 4000]),
        "dtype": np.dtype(dtype).type,
        "quantization_parameters": {"scales": np.array([], np.float32)},
    }
    values, again = (runner._random_input(detail, np.random.default_rng(0)) for _ in range(2))
    np.testing.assert_array_equal(values, again)
    assert values.dtype == dtype and values.shape == (1, 4000)
    expected = {"int8": (-128, 127), "uint8": (0, 255)}.get(dtype, (0, 1))
    if dtype != "float32":
        assert (values.min(), values.max()) == expected


def test_quantized_inputs_cover_the_range_of_their_type():
    detail = {
        "name": "x",
        "shape": np.array([9000]),
        "dtype": np.int16,
        "quantization_parameters": {"scales": np.array([0.1], np.float32)},
    }
    values = runner._random_input(detail, np.random.default_rng(0))
    assert values.min() < -32_000 and values.max() > 32_000


def test_indices_fit_the_smallest_vocabulary(tokens):
    assert benchmark(tokens, runs=1)[0].runs == 1


def test_given_inputs_are_used(tokens):
    assert benchmark(tokens, runs=1, inputs=[np.ones((1, 7), np.int32)])
    assert benchmark(tokens, runs=1, inputs=np.ones((1, 7), np.int32))


# --- the report ---


def test_the_report_prints_as_a_table_of_any_names(conv, mixed):
    text = str(benchmark({"[bold]dense": conv, "small": mixed}, runs=2))
    assert "[bold]dense" in text and "small" in text
    for title in ("median", "p90", "speedup", "KiB", "delegated"):
        assert title in text
    assert text.count("1.00x") >= 1
    assert not any(line != line.rstrip() for line in text.splitlines())


def test_the_report_converts_to_plain_rows(conv):
    report = benchmark({"dense": conv}, runs=2)
    data = json.loads(json.dumps(report.to_dict()))
    assert data["device"] == "local"
    assert data["rows"] == report.rows
    assert list(report.rows[0]) == [
        "name", "median_ms", "p90_ms", "p95_ms", "min_ms", "ratio",
        "file_bytes", "nodes", "delegated_nodes", "threads", "runs",
    ]  # fmt: skip


# --- bad input ---


def test_a_missing_file_is_named(folder):
    with pytest.raises(
        FileNotFoundError, match=r"`models` .*gone\.tflite' for 'x'.*exist"
    ) as error:
        benchmark({"x": folder / "gone.tflite"})
    assert_one_sentence(error)


def test_a_folder_is_refused(folder):
    with pytest.raises(IsADirectoryError, match=r"`models` .* is a folder") as error:
        benchmark(folder)
    assert_one_sentence(error)


@pytest.mark.parametrize("content", [b"PK\3\4 this is a keras file", b"{}", b"", b"\x1c\0\0\0TFL"])
def test_a_foreign_file_is_refused(tmp_path, content):
    (tmp_path / "m.tflite").write_bytes(content)
    with pytest.raises(ValueError, match=r"`models` .*m\.tflite.* a TFLite file") as error:
        benchmark(tmp_path / "m.tflite")
    assert_one_sentence(error)


def test_a_file_truncated_anywhere_is_refused(tmp_path, conv):
    content, path = conv.read_bytes(), tmp_path / "cut.tflite"
    cuts = random.Random(0).sample(range(8, len(content)), 200)
    for cut in [8, 9, 12, 100, len(content) - 1, *cuts]:
        path.write_bytes(content[:cut])
        with pytest.raises(ValueError, match=r"`models` .*cut\.tflite.* cannot be loaded") as error:
            benchmark(path)
        assert_one_sentence(error)


def test_a_file_that_is_zero_from_somewhere_on_is_refused_or_runs(tmp_path, conv):
    """As an interrupted download into a preallocated file leaves it."""
    content, path = conv.read_bytes(), tmp_path / "cut.tflite"
    refused = 0
    for cut in random.Random(0).sample(range(8, len(content)), 50):
        path.write_bytes(content[:cut] + bytes(len(content) - cut))
        try:
            benchmark(path, runs=1, warmup=0)
        except ValueError as error:
            refused += 1
            assert "`models`" in str(error) or "`inputs`" in str(error)
    assert refused > 25


def test_inputs_that_do_not_fit_are_refused(tokens):
    with pytest.raises(ValueError, match=r"`inputs` must hold 1 arrays for 'tokens' but holds 2\."):
        benchmark(tokens, inputs=[np.zeros(3), np.zeros(3)])
    with pytest.raises(
        ValueError, match=r"`inputs` must fit .*\(1, 7\) int32, but has \(3,\) float"
    ):
        benchmark(tokens, inputs=[np.zeros(3)])


def test_a_run_that_fails_is_reported_with_the_name_of_the_file(tokens):
    with pytest.raises(ValueError, match=r"`inputs` .* 'tokens' .* first run failed") as error:
        benchmark(tokens, inputs=[np.full((1, 7), 99, np.int32)])
    assert_one_sentence(error)


@pytest.mark.parametrize("models", [{}, [], ()])
def test_no_file_at_all_is_refused(models):
    with pytest.raises(ValueError, match=r"`models` must hold at least one file but is empty\."):
        benchmark(models)


def test_two_files_of_the_same_name_are_refused(conv):
    with pytest.raises(ValueError, match=r"`models` must have different names but conv occurs"):
        benchmark([conv, conv])


@pytest.mark.parametrize("models", [None, 3, [None], {"a": b"x"}, {"a": 3}])
def test_what_is_not_a_path_is_refused(models):
    with pytest.raises(TypeError, match=r"`models` must .* but "):
        benchmark(models)


@pytest.mark.parametrize(
    ("argument", "value", "least"),
    [
        ("threads", 0, 1),
        ("threads", -1, 1),
        ("threads", 1.0, 1),
        ("threads", True, 1),
        ("threads", "2", 1),
        ("runs", 0, 1),
        ("runs", None, 1),
        ("warmup", -1, 0),
        ("retries", -1, 0),
        ("retries", 0.5, 0),
    ],
)
def test_a_number_out_of_range_is_refused(conv, argument, value, least):
    message = rf"`{argument}` must be an integer of at least {least} but is {value!r}\."
    with pytest.raises(ValueError, match=message):
        benchmark(conv, **{argument: value})


def test_a_whole_number_of_numpy_is_accepted(conv):
    assert benchmark(conv, threads=np.int64(1), runs=np.int32(2))[0].runs == 2


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), "9", True])
def test_a_timeout_out_of_range_is_refused(conv, timeout):
    with pytest.raises(ValueError, match=r"`timeout` must be a number of seconds in \[0\.1"):
        benchmark(conv, timeout=timeout)


def test_an_unreadable_file_is_an_error_of_the_system(conv, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied", os.fspath(conv))

    monkeypatch.setattr(module.Path, "open", refuse)
    with pytest.raises(PermissionError, match=r"conv\.tflite"):
        benchmark(conv)
