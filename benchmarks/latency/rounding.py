"""What rounding the surviving channels costs in MACs and gains in time, network by network.

    python -m benchmarks.latency.rounding [--network resnet20_cifar10.keras ResNet50]
        [--device local]

Networks are saved ones, or those of tf_keras.applications with random weights.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tf_keras as keras

import keras_spp as spp
from benchmarks.latency.timing_options import add_timing_options, timing_device
from keras_spp.frameworks.tf_keras.loading import load_model
from tests.helpers.random_weights import ranges


def network(name: str) -> keras.Model:
    if Path(name).suffix:
        return load_model(name, compile=False)
    return getattr(keras.applications, name)(weights=None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--network", nargs="+", default=["ResNet50", "MobileNetV2"])
    add("--speedup", type=float, default=2.0)
    add("--round-to", type=int, nargs="+", default=[1, 4, 8, 16])
    add_timing_options(parser, runs=60)
    options = parser.parse_args()
    device = timing_device(options)
    print("| network | stored | round_to | MACs | latency | of the MACs' |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for name in options.network:
        keras.utils.set_random_seed(0)
        model = network(name)
        label = Path(name).stem
        for quantization in options.quantization:
            report = spp.compare_rounding(
                model,
                options.speedup,
                round_to=options.round_to,
                device=device,
                quantization=quantization,
                representative_data=ranges(model, quantization),
            )
            for row in report:
                print(
                    f"| {label} | {quantization} | {row.round_to} | {row.macs_speedup:.2f}x | "
                    f"{row.latency_speedup:.2f}x | {row.realised:.2f} |",
                    flush=True,
                )
            for multiple, why in report.unreachable.items():
                print(f"| {label} | {quantization} | {multiple} | {why} | | |", flush=True)


if __name__ == "__main__":
    main()
