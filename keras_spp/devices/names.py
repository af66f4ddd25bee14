"""The names of devices, and the function that times files on each."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from keras_spp.devices import DELEGATES, runner
from keras_spp.devices.android import time_on_android
from keras_spp.devices.job import Job, Measurement, Timing
from keras_spp.devices.ssh import parse_address, time_over_ssh


def find_device(device: Any) -> Callable[[Job], Measurement]:
    """Returns the function that times files on a device.

    Args:
        device: "local", "ssh://[user@]host[:port]", "android" or "android:SERIAL".

    Raises:
        ValueError: If there is no such device.

    Example:
        >>> find_device("cloud")
        Traceback (most recent call last):
        ValueError: `device` must be 'local', 'ssh://user@host', 'android' or 'android:SERIAL' but \
is 'cloud'.
    """
    if isinstance(device, str):
        if device == "local":
            return time_locally
        if device.startswith("ssh://"):
            parse_address(device)
            return time_over_ssh
        if re.fullmatch(r"android(:\S+)?", device):
            return time_on_android
    raise ValueError(
        "`device` must be 'local', 'ssh://user@host', 'android' or 'android:SERIAL' but is "
        f"{device!r}."
    )


def check_options(job: Job) -> None:
    """Raises ValueError if the device lacks the delegate or cannot use the binary.

    GPU and NNAPI are Android's, and only there a program that the user may name does the timing.
    """
    android = job.device.startswith("android")
    delegates = DELEGATES if android else DELEGATES[:2]
    if job.delegate not in delegates:
        raise ValueError(
            f"`delegate` must be one of {', '.join(map(repr, delegates))} on {job.device!r} but is "
            f"{job.delegate!r}."
        )
    if job.binary is not None and not android:
        raise ValueError(
            f"`binary` must be None on {job.device!r} but is {str(job.binary)!r}: only Android "
            "needs TensorFlow's benchmark_model."
        )


def time_locally(job: Job) -> Measurement:
    """Times files in this process.

    Raises:
        TimeoutError: If the time is up; an invocation that has begun is waited for.
        ValueError: If a file does not run.
    """
    files = [
        {"name": name, "given": str(path), "path": str(path)} for name, path in job.files.items()
    ]
    interpreters = runner.load(files, job.threads, job.inputs, job.delegate)
    try:
        answer = runner.time_rounds(interpreters, job.runs, job.warmup, job.deadline, job.progress)
    except TimeoutError as error:
        raise job.timeout_error() from error
    timings = map(Timing.of, answer["nanoseconds"], answer["delegated"])
    return Measurement(tuple(timings), answer["system"])
