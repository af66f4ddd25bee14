import json
import re

import pytest

import keras_spp as spp
from keras_spp.devices import device as latency
from keras_spp.devices import runner


@pytest.fixture
def file(small_file):
    return small_file.read_bytes()


@pytest.fixture
def benchmarks(monkeypatch):
    """What was measured, one list of names for each time."""
    seen, real = [], latency.benchmark

    def benchmark(paths, *arguments, **options):
        seen.append(list(paths))
        return real(paths, *arguments, **options)

    monkeypatch.setattr(latency, "benchmark", benchmark)
    return seen


def test_what_was_measured_is_known(file, benchmarks):
    device = spp.Device(runs=2)
    assert not device.knows(["a"]) and device.knows([])
    device.measure({"a": file, "b b": file})
    device.measure({"c": file})
    assert device.knows(["c", "a"]) and not device.knows(["a", "d"])
    assert all(device.latency(key) > 0 for key in ("a", "b b", "c"))
    assert benchmarks == [["a", "b b"], ["c"]]


def test_a_cache_keeps_it_for_other_objects(file, tmp_path):
    path = tmp_path / "latencies of ä.json"
    one = spp.Device(runs=2, cache=path)
    one.measure({"a": file})
    one.measure({"b": file})
    other = spp.Device(runs=2, cache=str(path))
    assert [other.latency(key) for key in "ab"] == [one.latency(key) for key in "ab"]
    content = json.loads(path.read_text())
    assert content["device"] == "local" and content["threads"] == 1
    assert content["system"] == runner.system() and "ai_edge_litert" in content["system"]


def test_the_options_reach_the_benchmark(file, monkeypatch):
    seen = {}

    def benchmark(paths, name, threads, **options):
        seen.update(options, name=name, threads=threads)
        raise ConnectionError

    monkeypatch.setattr(latency, "benchmark", benchmark)
    device = spp.Device("android:X", threads=4, runs=7, delegate="gpu", timeout=9)
    with pytest.raises(ConnectionError):
        device.measure({"a": file})
    assert seen == {"name": "android:X", "threads": 4, "runs": 7, "delegate": "gpu", "timeout": 9}
    assert not device.knows(["a"])


def test_latencies_of_another_device_or_runtime_are_not_mixed_in(file, tmp_path, monkeypatch):
    path = tmp_path / "cache.json"
    spp.Device(runs=2, cache=path).measure({"a": file})
    for arguments, what in (
        ({"threads": 2}, "threads 1, not 2"),
        ({"name": "android"}, "device 'local', not 'android'"),
        ({"delegate": "none"}, "delegate 'xnnpack', not 'none'"),
    ):
        with pytest.raises(ValueError, match=f"`cache` .* of another device .{what}.: name"):
            spp.Device(cache=path, **arguments)
    monkeypatch.setattr(runner, "system", lambda: "x86_64, another runtime")
    with pytest.raises(ValueError, match=r"`cache` .* of another device .system .*another runtime"):
        spp.Device(cache=path)


def test_a_runtime_that_changes_while_measuring_begins_anew(file, monkeypatch):
    device = spp.Device(runs=2)
    device.measure({"a": file})
    monkeypatch.setattr(runner, "system", lambda: "x86_64, another runtime")
    device.measure({"b": file})
    assert not device.knows(["a"]) and device.knows(["b"])


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"milliseconds": 3}', '{"milliseconds": {"a": "x"}, "system": ""}']
)
def test_a_file_that_is_no_cache_is_refused_and_stays(content, tmp_path):
    path = tmp_path / "cache.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=rf"`cache` {re.escape(repr(str(path)))} is not a file"):
        spp.Device(cache=path)
    assert path.read_text() == content


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"name": "phone"}, ValueError, "`device` must be 'local', 'ssh"),
        ({"threads": 0}, ValueError, "`threads` must be an integer of at least 1 but is 0"),
        ({"runs": 1.5}, ValueError, "`runs` must be an integer of at least 1 but is 1.5"),
        ({"warmup": 1}, TypeError, "`options` must be of delegate, .* but have warmup"),
    ],
)
def test_bad_arguments_are_refused_at_once(arguments, kind, message):
    with pytest.raises(kind, match=message):
        spp.Device(**arguments)
