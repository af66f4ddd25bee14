"""The picture on the first page of docs/: milliseconds of each layer before and after.

    python -m benchmarks.latency.layers --model FILE --small FILE --write docs/layers.png
        [--device local] [--threads 1]

FILE are a saved tf_keras network and the small one that was made from it. Every layer with a kernel
is timed alone in float32, and both networks as a whole.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import matplotlib
import tf_keras as keras

import keras_spp as spp
from benchmarks.latency.kinds import kernels, traced
from keras_spp.export.converter import files_of

matplotlib.use("Agg")
from matplotlib import pyplot as plt

BEFORE, AFTER = "#b9c2cf", "#1565c0"
Pair = tuple[float, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--model", required=True)
    add("--small", required=True)
    add("--write", type=Path, required=True)
    add("--device", default="local")
    add("--threads", type=int, default=1)
    add("--runs", type=int, default=50)
    options = parser.parse_args()
    models = spp.load_model(options.model), spp.load_model(options.small)
    device = spp.Device(options.device, options.threads, runs=options.runs)
    layers, whole = layer_by_layer(models, device), as_a_whole(models, device)
    for name, (before, after) in {**layers, "the whole network": whole}.items():
        print(f"{name}: {before:.3f} ms, {after:.3f} ms", flush=True)
    draw(layers, whole, options.write)


def layer_by_layer(models: tuple[keras.Model, keras.Model], device: spp.Device) -> dict[str, Pair]:
    """Milliseconds of each layer alone, before and after, by its name."""
    pairs = list(zip(*map(kernels, models), strict=True))
    files = iter(files_of([traced(layer) for pair in pairs for layer in pair], "none"))
    found = {}
    for layer, _ in pairs:
        keys = f"{layer.name} before", f"{layer.name} after"
        device.measure({key: bytes(next(files)) for key in keys})
        found[layer.name] = device.latency(keys[0]), device.latency(keys[1])
    return found


def as_a_whole(models: tuple[keras.Model, keras.Model], device: spp.Device) -> Pair:
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder, f"{name}.tflite") for name in ("before", "after")}
        for model, path in zip(models, paths.values(), strict=True):
            spp.export_tflite(model, path)
        before, after = device.time(paths)
    return before.median_ms, after.median_ms


def draw(layers: dict[str, Pair], whole: Pair, path: Path) -> None:
    with plt.rc_context({"font.size": 10, "svg.hashsalt": "layers"}):
        figure, axes = plt.subplots(figsize=(9, 3.6), layout="constrained", facecolor="white")
        places = range(len(layers))
        before, after = zip(*layers.values(), strict=True)
        axes.bar(places, before, 0.84, color=BEFORE, label=f"before: {whole[0]:.1f} ms in all")
        axes.bar(places, after, 0.5, color=AFTER, label=f"after: {whole[1]:.1f} ms")
        axes.set_xticks(places, list(layers), rotation=50, ha="right", rotation_mode="anchor")
        axes.tick_params(axis="x", length=0, labelsize=8)
        axes.set(ylabel="milliseconds", xlim=(-0.7, len(layers) - 0.3), ymargin=0.25)
        axes.autoscale_view(scalex=False)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, loc="upper right")
        figure.savefig(path, dpi=150, metadata={"Software": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
