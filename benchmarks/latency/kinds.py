"""Where a network's time goes, and what pruning takes off it: kinds of layers, timed alone.

    python -m benchmarks.latency.kinds [--network MobileNetV2] [--speedup 2]
        [--quantization none int8]

The network of tf_keras.applications has random weights; random channels are pruned, to the target
speedup. Every layer with a kernel is timed alone, dense and small side by side; "rest" is what the
whole network takes beyond their sum (additions, poolings, paddings), or what it saves against them.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections import defaultdict
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf
import tf_keras as keras

import keras_spp as spp
from keras_spp.export.converter import files_of
from keras_spp.export.options import QUANTIZATIONS
from tests.helpers.random_weights import ranges, shrunk_at_random

L = keras.layers


def kernels(model: keras.Model) -> list[keras.layers.Layer]:
    kinds = (L.Conv2D, L.DepthwiseConv2D, L.Dense)
    return [layer for layer in model.layers if isinstance(layer, kinds)]


def kind(layer: keras.layers.Layer) -> str:
    if isinstance(layer, L.DepthwiseConv2D):
        return "depthwise"
    if isinstance(layer, L.Dense):
        return "dense"
    return "1x1" if layer.kernel_size == (1, 1) else "{}x{}".format(*layer.kernel_size)


def traced(layer: keras.layers.Layer) -> tf.types.experimental.ConcreteFunction:
    spec = tf.TensorSpec((1, *layer.input_shape[1:]), tf.float32, "inputs")
    return tf.function(lambda inputs: layer(inputs)).get_concrete_function(spec)


def measure(
    models: dict[str, keras.Model], quantization: str, device: spp.Device
) -> dict[str, dict[str, float]]:
    """Milliseconds of each kind of layer and of the whole, by the models' names."""
    pairs = list(zip(*map(kernels, models.values()), strict=True))
    functions = [traced(layer) for pair in pairs for layer in pair]
    files = iter(files_of(functions, quantization))
    found: dict[str, dict[str, float]] = defaultdict(lambda: dict.fromkeys(models, 0.0))
    for place, (layer, _) in enumerate(pairs):
        keys = {name: f"{quantization} {place} {name}" for name in models}
        device.measure({key: bytes(next(files)) for key in keys.values()})
        for name, key in keys.items():
            found[kind(layer)][name] += device.latency(key)
    data = ranges(models["dense"], quantization)
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder, f"{name}.tflite") for name in models}
        for name, model in models.items():
            spp.export_tflite(model, paths[name], quantization, representative_data=data)
        whole = {row.name: row.median_ms for row in device.time(paths)}
    alone = {name: sum(row[name] for row in found.values()) for name in models}
    found["rest"] = {name: whole[name] - alone[name] for name in models}
    found["all"] = whole
    return found


def macs(model: keras.Model) -> dict[str, int]:
    counted: dict[str, int] = defaultdict(int)
    named = {layer.name: layer for layer in kernels(model)}
    for row in spp.analyze(model):
        if row.layer in named:
            counted[kind(named[row.layer])] += row.macs
            counted["all"] += row.macs
    return counted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--network", default="MobileNetV2")
    add("--speedup", type=float, default=2.0)
    add("--quantization", nargs="+", default=["none", "int8"], choices=QUANTIZATIONS)
    add("--device", default="local")
    add("--runs", type=int, default=40)
    options = parser.parse_args()
    keras.utils.set_random_seed(0)
    dense = getattr(keras.applications, options.network)(weights=None)
    small = shrunk_at_random(spp.prune(dense, target_speedup=options.speedup))
    models, device = {"dense": dense, "small": small}, spp.Device(options.device, runs=options.runs)
    before, after = macs(dense), macs(small)
    print("| stored | layers | MACs | of all | dense, ms | small, ms | speedup | of the MACs' |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for quantization in options.quantization:
        for name, row in measure(models, quantization, device).items():
            gain = row["dense"] / row["small"]
            counted = ["", "", f"| {gain:.2f}x | |"]
            if name in before:
                fewer = before[name] / after[name]
                share = f"{before[name] / before['all']:.0%}"
                counted = [f"{fewer:.2f}x", share, f"| {gain:.2f}x | {gain / fewer:.2f} |"]
            print(
                f"| {quantization} | {name} | {counted[0]} | {counted[1]} | {row['dense']:.3f} | "
                f"{row['small']:.3f} {counted[2]}",
                flush=True,
            )


if __name__ == "__main__":
    main()
