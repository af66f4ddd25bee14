"""A device on which latencies are measured, and the latencies measured so far."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from typing import Any

from keras_spp.devices import runner
from keras_spp.devices.benchmark import BenchmarkReport, benchmark
from keras_spp.devices.names import find_device
from keras_spp.devices.ssh import parse_address
from keras_spp.util.checks import check_integer, check_number
from keras_spp.util.files import check_apart, temporary_folder
from keras_spp.util.json_cache import JsonCache

_MERGING = threading.Lock()  # of all devices: one of its own would keep a device from being pickled


class Device:
    """The device on which a model will run: every decision by latency uses what is measured there.

    Args:
        name: As for `spp.benchmark`: "local", "ssh://user@host", "android" or "android:SERIAL".
        threads: Threads of one invocation, at least 1.
        runs: Timed invocations of each file, at least 1.
        cache: A JSON file that keeps the latencies, so that nothing is measured twice; None for
            as long as this object lives. It belongs to one device with one number of threads, and
            several objects, threads and processes may share it. Delete it when a remote device
            gets another runtime.
        **options: Others of `spp.benchmark`: `delegate`, `binary`, `timeout`, `retries`.

    Raises:
        TypeError: If there is no such option.
        ValueError: If an argument is out of its range, or `cache` is of another device or is
            another of the files that are given.

    Example:
        >>> import keras_spp as spp
        >>> phone = spp.Device("android", threads=2, cache="phone.json")
        >>> phone
        Device('android', threads=2)
    """

    def __init__(
        self,
        name: str = "local",
        threads: int = 1,
        *,
        runs: int = 30,
        cache: str | os.PathLike[str] | None = None,
        **options: Any,
    ) -> None:
        find_device(name)
        check_integer("threads", threads, 1)
        check_integer("runs", runs, 1)
        allowed = ("delegate", "binary", "timeout", "retries")
        if unknown := sorted(set(options).difference(allowed)):
            raise TypeError(
                f"`options` must be of {', '.join(allowed)} but have {', '.join(unknown)}."
            )
        self.name, self.threads, self.runs = name, int(threads), int(runs)
        self.options = options
        self._system = ""  # filled from the cache, or by the first measurement
        self._latencies: dict[str, float] = {}
        self._file = None if cache is None else JsonCache(cache, "spp.Device", self._parse)
        self.cache = None if self._file is None else self._file.path
        check_apart("`cache`", cache, {**self.files(), "`cache`": None})
        self._refresh()

    def __repr__(self) -> str:
        return f"Device({self.name!r}, threads={self.threads})"

    def knows(self, keys: Iterable[str]) -> bool:
        """Tells whether all of these were measured, here or by others who share the cache."""
        wanted = set(keys)
        if not self._latencies.keys() >= wanted:
            self._refresh()
        return self._latencies.keys() >= wanted

    def latency(self, key: str) -> float:
        """Returns the latency that was measured under this key, in milliseconds."""
        return self._latencies[key]

    def measure(self, files: Mapping[str, bytes]) -> None:
        """Measures TFLite files side by side.

        Args:
            files: Contents, by a key that stands for all that the latency depends on, except for
                the device.

        Raises:
            OSError: As `spp.benchmark` does.
            ValueError: Likewise, or if the cache has become that of another device.
        """
        self._refresh()  # refuses a cache before the work
        with temporary_folder() as folder:
            paths = {key: folder / f"{place}.tflite" for place, key in enumerate(files)}
            for key, path in paths.items():
                path.write_bytes(files[key])
            report = self.time(paths)
        measured = {row.name: row.median_ms for row in report}
        with _MERGING:
            if report.system != self._system:  # another runtime since: other latencies
                self._system, self._latencies = report.system, {}
            self._latencies = {**self._latencies, **measured}
        if self._file is not None:
            self._file.update(lambda content: self._merged(content, report.system, measured))

    def files(self) -> dict[str, Any]:
        """Returns the files that timing reads or writes, by their names in messages."""
        config = parse_address(self.name).config if self.name.startswith("ssh://") else None
        return {
            "`cache`": self.cache,
            "`binary`": self.options.get("binary"),
            "`device`'s config": None if config is None else os.path.expanduser(config),
        }

    def time(self, paths: Any) -> BenchmarkReport:
        """Returns the report of `spp.benchmark` on this device; nothing is remembered."""
        return benchmark(paths, self.name, self.threads, runs=self.runs, **self.options)

    def _label(self) -> dict[str, Any]:
        delegate = self.options.get("delegate", "xnnpack")
        return {"device": self.name, "threads": self.threads, "delegate": delegate}

    def _refresh(self) -> None:
        """Reads the latencies that the cache has."""
        if self._file is None or (content := self._file.read()) is None:
            return
        self._check(content)
        with _MERGING:
            if not self._system:
                self._system = content["system"]
            if content["system"] == self._system:
                self._latencies = {**content["milliseconds"], **self._latencies}

    def _parse(self, content: Any) -> dict[str, Any]:
        """Returns a cache's content with checked latencies."""
        latencies = {}
        for key, milliseconds in content["milliseconds"].items():
            check_number(key, milliseconds, 1e-9, 1e12, "a latency")
            latencies[key] = float(milliseconds)
        return {**content, "system": str(content["system"]), "milliseconds": latencies}

    def _check(self, content: dict[str, Any]) -> None:
        """Raises ValueError for the cache of another device, as far as known before measuring."""
        system = {"system": runner.system()} if self.name == "local" else {}
        for key, value in {**self._label(), **system}.items():
            if content.get(key) != value:
                raise ValueError(
                    f"`cache` {str(self.cache)!r} holds latencies of another device ({key} "
                    f"{content.get(key)!r}, not {value!r}): name another file, or delete it."
                )

    def _merged(
        self, content: dict[str, Any] | None, system: str, measured: dict[str, float]
    ) -> dict[str, Any]:
        """Returns the cache's new content: what it has and what was measured."""
        cached = {}
        if content is not None:
            self._check(content)
            if content["system"] == system:  # otherwise a remote device has another runtime now
                cached = content["milliseconds"]
        return {**self._label(), "system": system, "milliseconds": {**cached, **measured}}


def find(device: Any) -> Device:
    """Returns the device that an argument is, or names."""
    return device if isinstance(device, Device) else Device(device)
