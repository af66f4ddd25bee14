"""A device on which latencies are measured, and what is known of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from keras_spp import board
from keras_spp.benchmark import BenchmarkReport, benchmark
from keras_spp.checks import check_integer, check_number
from keras_spp.devices import find_device
from keras_spp.files import atomic_path, temporary_folder


class Device:
    """Where a model will run: what is decided by latency is decided by what is measured there.

    Args:
        name: As for `spp.benchmark`: "local", "ssh://user@host", "android" or "android:SERIAL".
        threads: Threads of one invocation, at least 1.
        runs: Timed invocations of each file, at least 1.
        cache: A JSON file that keeps the latencies, so that nothing is measured twice; None for
            as long as this object lives. It belongs to one device with one number of threads.
            Delete it when a remote device gets another runtime.
        **options: Others of `spp.benchmark`: `delegate`, `binary`, `timeout`, `retries`.

    Raises:
        TypeError: If there is no such option.
        ValueError: If an argument is out of its range, or `cache` is of another device.

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
        known = ("delegate", "binary", "timeout", "retries")
        if unknown := sorted(set(options).difference(known)):
            raise TypeError(
                f"`options` must be of {', '.join(known)} but have {', '.join(unknown)}."
            )
        self.name, self.threads, self.runs = name, int(threads), int(runs)
        self.cache = None if cache is None else Path(cache)
        self.options = options
        self._system = ""  # known from the cache, or when something has been measured
        self._known = self._read()

    def __repr__(self) -> str:
        return f"Device({self.name!r}, threads={self.threads})"

    def knows(self, keys: Iterable[str]) -> bool:
        """Whether all of these have been measured."""
        return self._known.keys() >= set(keys)

    def latency(self, key: str) -> float:
        """Milliseconds of what was measured under this key."""
        return self._known[key]

    def measure(self, files: Mapping[str, bytes]) -> None:
        """Measures TFLite files side by side.

        Args:
            files: Contents, by a key that stands for all that the latency depends on, except for
                the device.

        Raises:
            OSError: As `spp.benchmark` does.
            ValueError: Likewise.
        """
        with temporary_folder() as folder:
            paths = {key: folder / f"{place}.tflite" for place, key in enumerate(files)}
            for key, path in paths.items():
                path.write_bytes(files[key])
            report = self.time(paths)
        if report.system != self._system:  # another runtime since: other latencies
            self._system, self._known = report.system, {}
        self._known |= {row.name: row.median_ms for row in report}
        if self.cache:
            content = {**self._label(), "system": self._system, "milliseconds": self._known}
            with atomic_path(self.cache) as temporary:
                temporary.write_text(json.dumps(content, indent=1) + "\n")

    def time(self, paths: Any) -> BenchmarkReport:
        """What `spp.benchmark` says of files here; nothing is remembered."""
        return benchmark(paths, self.name, self.threads, runs=self.runs, **self.options)

    def _label(self) -> dict[str, Any]:
        delegate = self.options.get("delegate", "xnnpack")
        return {"device": self.name, "threads": self.threads, "delegate": delegate}

    def _read(self) -> dict[str, float]:
        if self.cache is None or not self.cache.exists():
            return {}
        what = f"`cache` {os.fspath(self.cache)!r}"
        try:
            content = json.loads(self.cache.read_text())
            known = dict(content["milliseconds"])
            for key, milliseconds in known.items():
                check_number(key, milliseconds, 1e-9, 1e12, "a latency")
            self._system = board.system() if self.name == "local" else str(content["system"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise ValueError(
                f"{what} is not a file that spp.Device wrote: name another file, or delete it."
            ) from None
        for key, value in {**self._label(), "system": self._system}.items():
            if content.get(key) != value:
                raise ValueError(
                    f"{what} holds latencies of another device ({key} {content.get(key)!r}, not "
                    f"{value!r}): name another file, or delete it."
                )
        return known


def find(device: Any) -> Device:
    """The device that an argument means: one, or the name of one."""
    return device if isinstance(device, Device) else Device(device)
