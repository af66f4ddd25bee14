"""Whether a network pruned to a target latency takes that time: measured anew afterwards.

    python -m benchmarks.latency.target_latency [--network ResNet50 MobileNetV2] [--target 0.5]
        [--device local] [--threads 1] [--cache FILE]

Networks have 224x224 inputs and random weights, and layers lose the same share of channels; what
goes in the end is chosen at random, not what was tried while planning.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tf_keras as keras

import keras_spp as spp
from benchmarks.apart import apart
from tests.helpers.random_weights import shrunk_at_random


def measure(
    network: str, target: float, round_to: int, place: str, threads: int, cache: str | None
) -> str:
    """A line of the table."""
    keras.utils.set_random_seed(0)
    dense = getattr(keras.applications, network)(weights=None)
    device, started = spp.Device(place, threads, cache=cache), time.monotonic()
    pruned = spp.prune(dense, target_latency=target, device=device, round_to=round_to)
    seconds = time.monotonic() - started
    small = shrunk_at_random(pruned)
    macs = spp.analyze(dense).macs / spp.analyze(small).macs
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder, f"{name}.tflite") for name in ("dense", "small")}
        spp.export_tflite(dense, files["dense"])
        spp.export_tflite(small, files["small"])
        row = spp.benchmark(files, place, threads, runs=100)[1]
    return (
        f"| {network} | {target:g} | {1 / row.ratio:.3f} | {1 / row.ratio / target - 1:+.1%} | "
        f"{macs:.2f}x | {seconds:.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--network", nargs="+", default=["ResNet50", "MobileNetV2"])
    add("--target", type=float, default=0.5)
    add("--round-to", type=int, default=8)
    add("--device", default="local")
    add("--threads", type=int, default=1)
    add("--cache", help="JSON file that keeps the latencies of single layers")
    options = parser.parse_args()
    print("| network | target | latency afterwards | off by | MACs | planned in, s |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for network in options.network:
        print(
            apart(
                measure,
                network,
                options.target,
                options.round_to,
                options.device,
                options.threads,
                options.cache,
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
