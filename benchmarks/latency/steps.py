"""By how many channels a layer has to shrink to get faster: which `round_to` suits a device.

    python -m benchmarks.latency.steps [--quantization none int8] [--device local] [--threads 1]

1x1 convolutions of 2, 4, 6, ... filters are timed alone, side by side. The runtime computes several
filters at once, which takes the same time if fewer are there, so latency climbs in steps. Printed
is how far latencies are from those of the next whole step, on the mean, were the steps of 4, 8, 16
or 32 filters: the largest that is about as near as 4 is the one to round to.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

import keras_spp as spp
from benchmarks.latency.timing_options import add_timing_options, timing_device
from keras_spp.export.converter import files_of

SIZE, CHANNELS, MOST = 14, 256, 64
FILTERS = range(2, MOST + 1, 2)
STEPS = (4, 8, 16, 32)


def layer(filters: int) -> tf.types.experimental.ConcreteFunction:
    """A 1x1 convolution with so many filters."""
    kernel = np.random.default_rng(0).normal(size=(1, 1, CHANNELS, filters)).astype("float32")
    spec = tf.TensorSpec((1, SIZE, SIZE, CHANNELS), tf.float32, "inputs")
    function = tf.function(lambda inputs: tf.nn.conv2d(inputs, tf.constant(kernel), 1, "VALID"))
    return function.get_concrete_function(spec)


def latencies(quantization: str, device: spp.Device) -> dict[int, float]:
    """Milliseconds by the number of filters."""
    files = files_of([layer(filters) for filters in FILTERS], quantization)
    keys = [f"{filters} {quantization}" for filters in FILTERS]
    device.measure(dict(zip(keys, map(bytes, files), strict=True)))
    return dict(zip(FILTERS, map(device.latency, keys), strict=True))


def distance(milliseconds: dict[int, float], step: int) -> float:
    """How far latencies are from those of whole steps, as a share of the latter, on the mean."""
    within = {n: -(-n // step) * step for n in milliseconds if n % step}
    return float(
        np.mean([abs(milliseconds[n] / milliseconds[end] - 1) for n, end in within.items()])
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_timing_options(parser, runs=200)
    options = parser.parse_args()
    device = timing_device(options)
    for quantization in options.quantization:
        found = latencies(quantization, device)
        print(f"{quantization}: filters and their latency, one of {MOST} filters being 1")
        for start in range(0, len(FILTERS), 8):
            row = FILTERS[start : start + 8]
            print("   " + "  ".join(f"{n:2}: {found[n] / found[MOST]:.2f}" for n in row))
        said = (f"{step}: {distance(found, step):.0%}" for step in STEPS)
        print(f"   off the latency of whole steps of {', '.join(said)}")


if __name__ == "__main__":
    main()
