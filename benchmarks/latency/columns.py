"""What leaving out pruned columns gains, layer by layer: realised speed beside the ideal.

    python -m benchmarks.latency.columns [--quantization none int8] [--device local] [--threads 1]

Each layer is a 3x3 convolution with as many channels out as in, of which random columns are pruned.
It is timed alone in every layout, side by side in one process. The ideal is the MACs' ratio.
"""

from __future__ import annotations

import argparse
import itertools
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tf_keras as keras

from benchmarks.latency.timing_options import add_timing_options, timing_device
from keras_spp.export import packing
from keras_spp.export.columns import DENSE, PACKED
from keras_spp.export.converter import Converter
from keras_spp.export.specs import Spec

SHAPES = ((56, 64), (28, 128), (14, 256), (7, 512))
PRUNED = (0.5, 0.75, 0.875)


def layer(size: int, channels: int, pruned: float) -> keras.Model:
    """A model of one convolution that has lost a share of its columns."""
    inputs = keras.Input((size, size, channels))
    outputs = keras.layers.Conv2D(channels, 3, padding="same", activation="relu")(inputs)
    model = keras.Model(inputs, outputs)
    kernel = model.layers[1].kernel
    columns = 9 * channels
    gone = np.random.default_rng(0).permutation(columns)[: round(pruned * columns)]
    values = kernel.numpy().reshape(columns, channels)
    values[gone] = 0
    kernel.assign(values.reshape(kernel.shape))
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_timing_options(parser, runs=100)
    options = parser.parse_args()
    device = timing_device(options)
    names = PACKED
    print(f"| quantization | layer | pruned | ideal | {' | '.join(names)} | taken | of the ideal |")
    print(f"| --- | --- | ---: | ---: |{' ---: |' * len(names)} --- | ---: |")
    for quantization, (size, channels), pruned in itertools.product(
        options.quantization, SHAPES, PRUNED
    ):
        model = layer(size, channels, pruned)
        shape = (1, size, size, channels)
        converter = Converter(model, [Spec("x", shape, np.dtype("float32"))], ["y"])
        calls = [(model.layers[1], [shape])]
        ((row,), _) = packing.decide(calls, quantization, device, converter.files_of)
        dense = row.milliseconds[DENSE]
        gains = [f"{dense / row.milliseconds[name]:.2f}x" for name in names]
        ideal = 1 / (1 - pruned)
        realised = dense / row.milliseconds[row.layout] / ideal
        print(
            f"| {quantization} | {size}x{size}x{channels} | {pruned:.1%} | {ideal:g}x | "
            f"{' | '.join(gains)} | {row.layout} | {realised:.0%} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
