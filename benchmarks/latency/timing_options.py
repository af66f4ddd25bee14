"""The options of all benchmarks of latency: how files are stored, and where they are timed."""

from __future__ import annotations

import argparse

import keras_spp as spp
from keras_spp.export.options import QUANTIZATIONS


def add_timing_options(parser: argparse.ArgumentParser, runs: int) -> None:
    """Adds them, with so many timed invocations unless others are asked for."""
    add = parser.add_argument
    add("--quantization", nargs="+", default=["none", "int8"], choices=QUANTIZATIONS)
    add("--device", default="local")
    add("--threads", type=int, default=1)
    add("--runs", type=int, default=runs)


def timing_device(options: argparse.Namespace) -> spp.Device:
    """The device that the options name."""
    return spp.Device(options.device, options.threads, runs=options.runs)
