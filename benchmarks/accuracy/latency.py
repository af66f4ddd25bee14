"""What pruning without training costs in accuracy and gives in milliseconds, as files of TFLite.

    python -m benchmarks.accuracy.latency --data-dir DIR --model FILE --results FILE
        [--dataset cifar10] [--input imagenet] [--speedup 1.5 2 3 4] [--seed 0] [--runs 200]

FILE is a saved tf_keras classifier, DIR a TensorFlow Datasets folder (or with --dataset folder one
of images). For each speedup `spp.compress` makes a small network of 1,024 training images without
labels; survivors come in multiples of 8, which processors like. It and the dense network are
exported in float32 and int8, evaluated as files on all test images, and timed here in turn.
"""

import argparse
import tempfile
from pathlib import Path

import keras_spp as spp
from benchmarks.accuracy.runs import add
from examples import images
from keras_spp.frameworks.tf_keras.loading import load_model

SAMPLES, RANGES = 1024, 256
KINDS = ("none", "int8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--input", default="imagenet", choices=images.NORMALIZATIONS)
    parser.add_argument("--model", required=True, type=Path)
    parser.add_argument("--results", required=True, type=Path)
    parser.add_argument("--speedup", type=float, nargs="+", default=[1.5, 2, 3, 4])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=int, default=200)
    options = parser.parse_args()

    model = load_model(options.model, compile=False)
    normalize = images.NORMALIZATIONS[options.input]
    builder, shape = images.find(options.dataset, options.data_dir), model.input_shape[1:]
    test = images.batches(builder, "test", shape, 500, normalize=normalize)
    x = images.some(builder, "train", shape, SAMPLES, normalize=normalize)
    dense = spp.analyze(model).macs

    with tempfile.TemporaryDirectory() as folder:
        rows, files = {}, {}
        for speedup in (1.0, *options.speedup):
            network = model
            if speedup > 1:
                network = spp.compress(model, x, speedup, seed=options.seed, verbose=0)
            for kind in KINDS:
                name = f"{speedup:g}x {kind}"
                files[name] = Path(folder, f"{name}.tflite")
                data = x[:RANGES] if kind == "int8" else None
                spp.export_tflite(network, files[name], kind, representative_data=data)
                (report,) = spp.parity(network, files[name], test)
                rows[name] = {
                    "model": options.model.name,
                    "dataset": options.dataset,
                    "speedup": speedup,
                    "macs_speedup": dense / spp.analyze(network).macs,
                    "quantization": kind,
                    "seed": options.seed,
                    "top1": report.tflite_top1,
                    "bytes": files[name].stat().st_size,
                }
                print(f"{name}: top-1 {100 * report.tflite_top1:.2f} %", flush=True)
        timings = spp.benchmark(files, runs=options.runs)
    print(timings)
    for timing in timings:
        add(options.results, rows[timing.name] | {"median_ms": timing.median_ms})


if __name__ == "__main__":
    main()
