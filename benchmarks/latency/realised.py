"""Realised speed beside fewer MACs: dense and small networks in turn, in one process.

    python -m benchmarks.latency.realised [--case vgg16-channel-4 ...] [--quantization none int8]
        [--device local] [--threads 1]

Networks have 224x224 inputs and random weights, and what is pruned is chosen at random: neither
matters for latency. Targets are met by the same ratio in all layers.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import warnings
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tf_keras as keras

import keras_spp as spp
from benchmarks.apart import apart
from benchmarks.latency.timing_options import add_timing_options
from tests.helpers.random_weights import ranges, shrunk_at_random

CASES = {
    "vgg16-channel-4": ("VGG16", "channel", 4.0),
    "resnet50-channel-2": ("ResNet50", "channel", 2.0),
    "mobilenetv2-channel-2": ("MobileNetV2", "channel", 2.0),
    "vgg16-column-4": ("VGG16", "column", 4.0),
}
HEAD = (
    "| network | pruned | stored | MACs | latency | of the MACs' | packed | KiB, before | after |\n"
    "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"
)


def measure(case: str, quantizations: list[str], place: str, threads: int, runs: int) -> list[str]:
    """Lines of the table, for one network."""
    name, granularity, target = CASES[case]
    keras.utils.set_random_seed(0)
    dense = getattr(keras.applications, name)(weights=None)
    pruned = spp.prune(dense, target_speedup=target, granularity=granularity)
    small = shrunk_at_random(pruned)
    progress = spp.Pruner(pruned).progress()
    device = spp.Device(place, threads, runs=runs)
    lines = []
    for quantization in quantizations:
        options = {"representative_data": ranges(dense, quantization), "device": device}
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # random weights are far from what 8 bits are made for
            files = {key: Path(folder, f"{key}.tflite") for key in ("dense", "small")}
            spp.export_tflite(dense, files["dense"], quantization, **options)
            report = spp.export_tflite(small, files["small"], quantization, **options)
            before, after = spp.benchmark(files, place, threads, runs=runs)
        packed = sum(row.layout != "dense" for row in report.packed)
        lines.append(
            f"| {name} | {granularity} {target:g}x | {quantization} | "
            f"{progress.macs_speedup:.2f}x | {after.ratio:.2f}x | "
            f"{after.ratio / progress.macs_speedup:.2f} | "
            f"{f'{packed} of {len(report.packed)}' if report.packed else ''} | "
            f"{before.file_bytes / 1024:,.0f} | {after.file_bytes / 1024:,.0f} |"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--case", nargs="+", default=list(CASES), choices=CASES)
    add_timing_options(parser, runs=30)
    options = parser.parse_args()
    print(HEAD)
    for case in options.case:
        for line in apart(
            measure, case, options.quantization, options.device, options.threads, options.runs
        ):
            print(line, flush=True)


if __name__ == "__main__":
    main()
