"""What each quantization does to a network's size, outputs and latency here.

    python -m benchmarks.accuracy.quantization --data-dir DIR --model FILE [--samples 10000]
        [--runs 200]

The data set is a prepared tfds `cifar10`; ranges are taken from 256 images of its training split.
"""

import argparse
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

import keras_spp as spp
from examples import images
from keras_spp.export.options import IO_TYPES, QUANTIZATIONS
from keras_spp.frameworks.tf_keras.loading import load_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", required=True, help="a tfds folder with cifar10")
    parser.add_argument("--model", required=True, help="a saved tf_keras model of CIFAR-10")
    parser.add_argument("--samples", type=int, default=10_000, help="test images")
    parser.add_argument("--runs", type=int, default=200)
    options = parser.parse_args()
    model = load_model(options.model, compile=False)
    builder, shape = images.find("cifar10", options.data_dir), model.input_shape[1:]
    ranges = images.batches(builder, "train[:256]", shape, 256)
    test = images.batches(builder, f"test[:{options.samples}]", shape, 500)

    with tempfile.TemporaryDirectory() as folder:
        reports, files = {}, {}
        for name in QUANTIZATIONS:
            files[name] = Path(folder, f"{name}.tflite")
            data = ranges if name in IO_TYPES else None
            spp.export_tflite(model, files[name], name, representative_data=data)
            (reports[name],) = spp.parity(model, files[name], test)
        timings = spp.benchmark(files, runs=options.runs)

    table = Table("quantization", title=f"{Path(options.model).name}, {options.samples} images")
    for title in ("KiB", "top-1", "same top-1 as Keras", "max diff", "mean diff", "speedup here"):
        table.add_column(title, justify="right")
    for timing in timings:
        report = reports[timing.name]
        table.add_row(
            timing.name,
            f"{timing.file_bytes / 1024:,.0f}",
            f"{report.tflite_top1:.2%}",
            f"{report.top1_agreement:.2%}",
            f"{report.max_difference:.3g}",
            f"{report.mean_difference:.3g}",
            f"{timing.ratio:.2f}x",
        )
    Console(width=110).print(table)
    print(f"Keras: top-1 {report.keras_top1:.2%}, outputs up to {report.largest:.3g}")


if __name__ == "__main__":
    main()
