"""The job that every device gets, and the measurement that it returns."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

_T = TypeVar("_T")
_PAUSE = 2.0  # seconds before another attempt: a cable or a radio needs about that long


@dataclass(frozen=True)
class Job:
    """What to time, and how.

    Attributes:
        device: The device as the user named it.
        files: Path of each file by its name.
        threads: Threads of one invocation.
        runs: Timed invocations of each file.
        warmup: Untimed ones before that.
        inputs: Arrays for the inputs of every file, or None for random ones.
        delegate: "xnnpack", "none", "gpu" or "nnapi".
        binary: The user's `benchmark_model`, or None.
        timeout: Seconds for all of it.
        retries: How often to start again after a lost connection.
        progress: Called with the part done, in (0, 1].
        started: When the time began to run, in seconds of `time.monotonic`.
    """

    device: str
    files: Mapping[str, Path]
    threads: int
    runs: int
    warmup: int
    inputs: Sequence[np.ndarray] | None
    delegate: str
    binary: Path | None
    timeout: float
    retries: int
    progress: Callable[[float], None] | None
    started: float

    @property
    def deadline(self) -> float:
        """When the time is up, in seconds of `time.monotonic`."""
        return self.started + self.timeout

    def remaining(self) -> float:
        """Returns the seconds left; raises TimeoutError if there are none."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise self.timeout_error()
        return left

    def timeout_error(self) -> TimeoutError:
        """Returns the error of a measurement that did not end in time."""
        return TimeoutError(
            f"`timeout` is {self.timeout:g} seconds but {self.device!r} did not finish in that "
            "time: allow more, or fewer `runs`."
        )


@dataclass(frozen=True)
class Timing:
    """The latencies of one file on a device.

    Attributes:
        rounds: A latency for each round of all files, in milliseconds: what a ratio is made of.
        median_ms: Median of all invocations, in milliseconds.
        p90_ms: What 90 % of them stay below, or None if the device does not tell.
        p95_ms: What 95 % of them stay below.
        min_ms: The lowest.
        runs: How many there were.
        delegated_nodes: How many nodes a delegate runs, or None if the device does not tell.
    """

    rounds: Sequence[float]
    median_ms: float
    p90_ms: float | None
    p95_ms: float
    min_ms: float
    runs: int
    delegated_nodes: int | None

    @classmethod
    def of(cls, nanoseconds: Sequence[int], delegated_nodes: int | None) -> Timing:
        """Returns the timing of a device that tells the latency of every round, in nanoseconds."""
        rounds = np.asarray(nanoseconds, float) / 1e6
        p90, p95 = map(float, np.percentile(rounds, [90, 95]))
        median, least = float(np.median(rounds)), float(rounds.min())
        return cls(rounds.tolist(), median, p90, p95, least, len(rounds), delegated_nodes)


@dataclass(frozen=True)
class Measurement:
    """The timings of all files, in their order, and the system that they ran on."""

    timings: Sequence[Timing]
    system: str


class Dropped(ConnectionError):
    """A connection that worked and then was lost: worth another attempt."""


def with_retries(job: Job, attempt: Callable[[], _T]) -> _T:
    """Returns what `attempt` returns, started again `job.retries` times if it is `Dropped`.

    Always from the beginning, so that the files are timed under the same conditions.
    """
    for left in reversed(range(job.retries + 1)):
        try:
            return attempt()
        except Dropped:
            if not left:
                raise
            time.sleep(min(_PAUSE, job.remaining()))
    raise AssertionError("unreachable")
