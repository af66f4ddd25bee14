"""Caches that several objects, threads and processes write."""

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import keras_spp as spp
from keras_spp.allocation import sensitivity
from keras_spp.core.groups import Groups
from keras_spp.devices import runner
from keras_spp.devices.benchmark import BenchmarkReport
from keras_spp.frameworks.tf_keras.tracing import find_channels
from keras_spp.util import json_cache
from keras_spp.util.json_cache import JsonCache
from tests.helpers.judged import data, net
from tests.helpers.sentences import assert_one_sentence
from tests.helpers.shared_cache import ENTRIES, add, counts
from tests.journeys.test_disk import mounted

ROOT = Path(__file__).parents[2]
WRITERS = 8


def assert_all_are_there(path, keys):
    found = counts(path).read()
    assert found.keys() == set(keys)
    # Each has seen all that were there before it: nobody wrote over another.
    assert sorted(found.values()) == list(range(len(found)))


def test_threads_lose_nothing(tmp_path):
    path = tmp_path / "c.json"
    keys = [str(number) for number in range(WRITERS * ENTRIES)]
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(lambda key: add(path, key), keys))
    assert_all_are_there(path, keys)


PROCESS = """
import sys
from tests.helpers.shared_cache import ENTRIES, add
for entry in range(ENTRIES):
    add(sys.argv[1], f"{sys.argv[2]} {entry}")
"""


def start(code, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
    )


def test_processes_lose_nothing(tmp_path):
    path = tmp_path / "c.json"
    processes = [start(PROCESS, path, number) for number in range(3)]
    for entry in range(ENTRIES):
        add(path, f"mine {entry}")
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    names = ["mine", 0, 1, 2]
    assert_all_are_there(path, [f"{name} {entry}" for name in names for entry in range(ENTRIES)])


HOLDS = """
import sys
from tests.helpers.shared_cache import counts
def change(known):
    print("locked", flush=True)
    sys.stdin.read()
counts(sys.argv[1]).update(change)
"""


def test_a_lock_ends_with_the_process_that_was_killed_in_it(tmp_path, monkeypatch):
    path = tmp_path / "c.json"
    add(path, "before")
    process = start(HOLDS, path)
    assert process.stdout.readline() == b"locked\n"
    monkeypatch.setattr(json_cache, "PATIENCE", 0.1)
    with pytest.raises(TimeoutError, match=r"`cache` .* has been locked by another") as error:
        add(path, "while")
    assert str(path) in assert_one_sentence(error)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    monkeypatch.setattr(json_cache, "PATIENCE", 60)
    add(path, "after")
    assert_all_are_there(path, ["before", "after"])


def test_a_change_that_fails_leaves_the_file_and_frees_the_lock(tmp_path):
    path = tmp_path / "c.json"
    add(path, "a")
    with pytest.raises(KeyError):
        counts(path).update(lambda known: known["none"])
    add(path, "b")
    assert_all_are_there(path, ["a", "b"])


def test_links_to_a_file_share_its_lock_and_its_content(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "link.json").symlink_to(tmp_path / "c.json")
    with ThreadPoolExecutor(4) as pool:
        paths = [tmp_path / "c.json", tmp_path / "elsewhere" / "link.json"] * 20
        list(pool.map(add, paths, map(str, range(40))))
    assert_all_are_there(tmp_path / "c.json", map(str, range(40)))


# -- what the file may be --------------------------------------------------------------------------

WRONG = {
    "empty": b"",
    "no JSON": b"text",
    "nested": b"[" * 100_000,
    "nested and closed": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "not UTF-8": b'{"milliseconds": {"\xff": 1}, "system": "s"}',
    "UTF-16": '{"milliseconds": {}}'.encode("utf-16"),
    "huge": b'{"milliseconds": {"a": 1e999}, "system": "s", "k": {"a": [1e999, 1]}}',
    "huge integer": b'{"milliseconds": {"a": 1%s}, "system": "s"}' % (b"0" * 400),
    "more digits than Python reads": b'{"milliseconds": {"a": 1%s}, "system": "s"}' % (b"0" * 5000),
    "NaN": b'{"milliseconds": {"a": NaN}, "system": "s", "k": {"a": [NaN, 1]}}',
    "a list": b"[1, 2]",
    "null": b"null",
    "a number": b"3",
    "null inside": b'{"milliseconds": null, "system": null}',
}


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize("writer", [spp.Device, spp.Sensitivity])
def test_what_is_no_cache_is_one_sentence_and_stays(tmp_path, kind, writer):
    path = tmp_path / "c.json"
    path.write_bytes(WRONG[kind])
    with pytest.raises(
        ValueError, match=f"`cache` .* is not a file that spp.{writer.__name__}"
    ) as error:
        writer(cache=path)._file.read()
    assert str(path) in assert_one_sentence(error)
    with pytest.raises(ValueError):
        writer(cache=path)._file.update(lambda content: {})
    assert path.read_bytes() == WRONG[kind]


@pytest.mark.parametrize("writer", [spp.Device, spp.Sensitivity])
def test_what_names_no_file_is_refused_at_once(tmp_path, writer):
    for wrong in (tmp_path, tmp_path / "none" / "c.json", ""):
        with pytest.raises(ValueError, match="`cache` must name a file in a folder that") as error:
            writer(cache=wrong)
        assert_one_sentence(error)
    with pytest.raises(TypeError, match="`cache` must name a file") as error:
        writer(cache=3)
    assert_one_sentence(error)


# -- both classes ----------------------------------------------------------------------------------


@pytest.fixture
def instant(monkeypatch):
    """Devices that measure nothing; the latency of a file is its size."""

    def time(self, paths):
        rows = [Row(name, float(path.stat().st_size)) for name, path in paths.items()]
        system = runner.system() if self.name == "local" else self.options["binary"]
        return BenchmarkReport(self.name, tuple(rows), system)

    class Row:
        def __init__(self, name, milliseconds):
            self.name, self.median_ms = name, milliseconds

    monkeypatch.setattr(spp.Device, "time", time)


def test_devices_with_one_cache_keep_what_each_has_measured(tmp_path, instant):
    path = tmp_path / "c.json"
    devices = [spp.Device(cache=path) for _ in range(WRITERS)]
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(lambda n: devices[n].measure({f"{n}": b"x" * (n + 1)}), range(WRITERS)))
    keys = [str(n) for n in range(WRITERS)]
    for device in (*devices, spp.Device(cache=path)):
        assert device.knows(keys) and [device.latency(k) for k in keys] == [*range(1, WRITERS + 1)]


def test_one_device_in_several_threads_keeps_all_without_a_cache(instant):
    device = spp.Device()
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(lambda n: device.measure({f"{n}": b"x"}), range(200)))
    assert device.knows(map(str, range(200)))


def test_devices_and_sensitivities_can_be_sent_to_other_processes(tmp_path, instant):
    device = spp.Device(cache=tmp_path / "c.json")
    device.measure({"a": b"x"})
    assert pickle.loads(pickle.dumps(device)).latency("a") == 1
    assert pickle.loads(pickle.dumps(spp.Sensitivity(cache=tmp_path / "s.json"))).points == 8


def test_a_cache_of_another_device_that_came_meanwhile_is_refused_before_the_work(
    tmp_path, instant
):
    path = tmp_path / "c.json"
    one, other = spp.Device(cache=path), spp.Device(threads=2, cache=path)
    one.measure({"a": b"x"})
    before = path.read_text()
    with pytest.raises(ValueError, match=r"latencies of another device .threads 1, not 2") as error:
        other.measure({"b": b"x"})
    assert_one_sentence(error)
    assert path.read_text() == before


def test_a_remote_device_with_another_runtime_begins_its_cache_anew(tmp_path, instant):
    path = tmp_path / "c.json"
    spp.Device("android", cache=path, binary="old").measure({"a": b"x"})
    device = spp.Device("android", cache=path, binary="new")
    assert device.knows(["a"])
    device.measure({"b": b"x"})
    assert not device.knows(["a"]) and device.knows(["b"])
    assert json.loads(path.read_text())["milliseconds"] == {"b": 1.0}


def test_caches_of_earlier_versions_are_read_and_kept(tmp_path, instant):
    path = tmp_path / "latencies.json"
    label = {"device": "local", "threads": 1, "delegate": "xnnpack", "system": runner.system()}
    path.write_text(json.dumps({**label, "milliseconds": {"old": 2.5}}))
    device = spp.Device(cache=path)
    device.measure({"new": b"x"})
    known = json.loads(path.read_text())
    assert known == {**label, "milliseconds": {"old": 2.5, "new": 1.0}}
    other = tmp_path / "sensitivity.json"
    other.write_text('{"key": {"set": [0.5, 1]}}')
    prepared(other)
    assert json.loads(other.read_text())["key"] == {"set": [0.5, 1.0]}


def prepared(cache):
    """What was measured of a network, by set."""
    model = net()
    groups = Groups(find_channels(model), "channel")
    allocation = spp.Sensitivity(points=2, batches=1, verbose=0, cache=cache)
    allocation.prepare(model, groups, data())
    return groups


def test_sensitivities_with_one_cache_keep_what_each_has_measured(tmp_path, monkeypatch):
    """Two that measure the same network in turn share the work; a third measures nothing."""
    path, measured = tmp_path / "s.json", []
    rise = sensitivity._Measured._rise

    def slow(self, entry, share):
        measured.append((entry.name, share))
        return rise(self, entry, share)

    monkeypatch.setattr(sensitivity._Measured, "_rise", slow)
    sets = len(prepared(path).sets)
    assert len(measured) == 2 * sets
    prepared(path)
    assert len(measured) == 2 * sets
    content = json.loads(path.read_text())
    ((key, whole),) = content.items()
    first, *rest = whole
    path.write_text(json.dumps({key: {first: whole[first]}, "other": {"set": [1, 2]}}))
    measured.clear()

    def meanwhile(self, entry, share):  # another run writes a set while this one measures
        others = {name: whole[name] for name in rest[1:]}
        spp.Sensitivity(cache=path)._file.update(
            lambda known: {**known, key: {**known[key], **others}}
        )
        return slow(self, entry, share)

    monkeypatch.setattr(sensitivity._Measured, "_rise", meanwhile)
    prepared(path)
    assert {name for name, _ in measured} == {rest[0]}
    found = json.loads(path.read_text())
    assert found["other"] == {"set": [1, 2]} and found[key].keys() == whole.keys()
    np.testing.assert_allclose(found[key][rest[0]], whole[rest[0]], rtol=1e-4)


def test_one_file_cannot_serve_both(tmp_path, instant):
    path = tmp_path / "c.json"
    device, allocation = spp.Device(cache=path), spp.Sensitivity(cache=path)
    device.measure({"a": b"x"})
    with pytest.raises(ValueError, match=r"is not a file that spp.Sensitivity wrote"):
        allocation._file.update(lambda content: {})
    assert spp.Device(cache=path).knows(["a"])


def test_a_cache_on_a_disk_that_cannot_be_written_is_read(tmp_path, instant):
    path = tmp_path / "disk" / "c.json"
    with mounted(path.parent, "size=1M"):
        spp.Device(cache=path).measure({"a": b"x"})
        subprocess.run(["mount", "-o", "remount,ro", str(path.parent)], check=True)
        device = spp.Device(cache=path)
        assert device.knows(["a"])
        with pytest.raises(OSError, match="Read-only file system") as error:
            device.measure({"b": b"x"})
        assert str(path) in assert_one_sentence(error)
        assert device.knows(["a", "b"])


def test_reading_needs_no_lock(tmp_path, instant):
    path, go, ready = tmp_path / "c.json", threading.Event(), threading.Event()
    spp.Device(cache=path).measure({"a": b"x"})

    def hold(content):
        ready.set()
        go.wait()
        return content

    thread = threading.Thread(target=JsonCache(path, "spp.Test", dict).update, args=(hold,))
    thread.start()
    ready.wait()
    assert spp.Device(cache=path).knows(["a"])
    go.set()
    thread.join()
