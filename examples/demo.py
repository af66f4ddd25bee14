"""The whole path: train a network, prune it, shrink it, export it, time it.

By default a small residual network learns scikit-learn's handwritten digits. With --dataset and
--model it is any image classification dataset of TensorFlow Datasets and any saved model that
classifies it, with softmax or logits at its end. All results land in the folder --output. It runs
on Keras 3, with KERAS=2 in the environment on tf_keras.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.table import Table

import keras_spp as spp
from keras_spp import frameworks

if os.environ.get("KERAS", "3") == "2":
    import tf_keras as keras
else:
    import keras

L = keras.layers


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="\n".join(__doc__.splitlines()[2:]))
    add = parser.add_argument
    add("--dataset", help="name in TensorFlow Datasets")
    add("--data-dir", help="folder of the dataset, which is downloaded if it is not there")
    add("--test-split", help="split to test on (default: test, or else validation)")
    add("--model", type=Path, help="saved model that classifies the dataset")
    add("--mean", type=float, nargs="+", help="the model takes (pixel / 255 - mean) / std")
    add("--std", type=float, nargs="+", help="(default of both: ImageNet's)")
    add("--speedup", type=float, default=2.0, help="dense MACs over remaining MACs (default: 2)")
    add("--epochs", type=int, help="epochs of pruning with fine-tuning (default: ~750 steps)")
    add("--steps-per-epoch", type=int, help="(default: once over all training images)")
    add("--batch-size", type=int, help="(default: 64, for digits 32)")
    add("--learning-rate", type=float, default=0.05, help="at the start, it falls to 0")
    add("--output", type=Path, default=Path("demo_output"), help="(default: demo_output)")
    args = parser.parse_args(arguments)
    if (args.dataset is None) != (args.model is None):
        parser.error("--dataset and --model need each other")
    args.batch_size = args.batch_size or (64 if args.dataset else 32)
    args.mean = args.mean or ([0.485, 0.456, 0.406] if args.dataset else [0.5])
    args.std = args.std or ([0.229, 0.224, 0.225] if args.dataset else [0.5])
    return args


class Data(NamedTuple):
    train: tf.data.Dataset  # endless batches
    test: tf.data.Dataset
    steps: int  # training steps per epoch
    epochs: int


def load(args: argparse.Namespace, input_shape: tuple[int, ...]) -> Data:
    """Batches of images as a model with this input shape takes them."""
    if None in input_shape:
        sys.exit(f"--model must take images of one size but its input shape is {input_shape}.")
    train, test = load_dataset(args) if args.dataset else load_digits()
    steps = args.steps_per_epoch or max(1, len(train) // args.batch_size)
    buffer = min(len(train), 2**29 // int(np.prod(input_shape)))  # half a gigabyte at most
    # A mirrored digit is another sign, and pad is half as large for images of half the size.
    flip, pad = (True, 4) if args.dataset else (False, 2)
    train, test = (
        part.map(lambda x, y: (fit(x, input_shape), y), tf.data.AUTOTUNE) for part in (train, test)
    )
    train = train.shuffle(buffer).repeat()
    train = train.map(lambda x, y: (augment(x, flip, pad), y), tf.data.AUTOTUNE)
    train, test = (
        part.batch(args.batch_size)
        .map(lambda x, y: (normalize(x, args.mean, args.std), y))
        .prefetch(2)
        for part in (train, test)
    )
    return Data(train, test, steps, args.epochs or max(2, -(-750 // steps)))


def load_digits() -> list[tf.data.Dataset]:
    from sklearn import datasets, model_selection

    pixels, labels = datasets.load_digits(return_X_y=True)
    images = (pixels.reshape(-1, 8, 8, 1) * (255 / 16)).astype("uint8")
    parts = model_selection.train_test_split(images, labels, stratify=labels, random_state=0)
    return [tf.data.Dataset.from_tensor_slices(tuple(parts[i::2])) for i in (0, 1)]


def load_dataset(args: argparse.Namespace) -> list[tf.data.Dataset]:
    import tensorflow_datasets as tfds

    builder = tfds.builder(args.dataset, data_dir=args.data_dir)
    builder.download_and_prepare()  # returns at once if the data is there
    test = args.test_split or ("test" if "test" in builder.info.splits else "validation")
    return builder.as_dataset(split=["train", test], as_supervised=True)


def fit(image: tf.Tensor, shape: tuple[int, ...]) -> tf.Tensor:
    """The image in the size, and with the channels, that the model takes."""
    if image.shape[:2] != shape[:2]:
        image = tf.cast(tf.round(tf.image.resize(image, shape[:2])), tf.uint8)
    if image.shape[-1] == 1 and shape[-1] == 3:
        image = tf.image.grayscale_to_rgb(image)
    return tf.ensure_shape(image, shape)


def augment(image: tf.Tensor, flip: bool, pad: int) -> tf.Tensor:
    """The image moved by up to `pad` pixels, and mirrored or not."""
    padded = tf.pad(image, [[pad, pad], [pad, pad], [0, 0]])
    image = tf.image.random_crop(padded, image.shape)
    return tf.image.random_flip_left_right(image) if flip else image


def normalize(images: tf.Tensor, mean: list[float], std: list[float]) -> tf.Tensor:
    return (tf.cast(images, tf.float32) / 255 - mean) / std


def residual_network(input_shape: tuple[int, ...], classes: int) -> keras.Model:
    """Three residual blocks; the last two halve the resolution, in their shortcuts too."""

    def convolution(x: tf.Tensor, width: int, size: int, stride: int = 1) -> tf.Tensor:
        x = L.Conv2D(width, size, stride, padding="same", use_bias=False)(x)
        return L.BatchNormalization(momentum=0.9)(x)

    image = keras.Input(input_shape)
    x = L.ReLU()(convolution(image, 48, 3))
    for width, stride in ((48, 1), (96, 2), (192, 2)):
        shortcut = x if stride == 1 else convolution(x, width, 1, stride)
        x = L.ReLU()(convolution(x, width, 3, stride))
        x = L.ReLU()(L.Add()([convolution(x, width, 3), shortcut]))
    return keras.Model(image, L.Dense(classes)(L.GlobalAveragePooling2D()(x)), name="residual_net")


def train(
    model: keras.Model,
    data: Data,
    learning_rate: float,
    *callbacks: object,
    weight_decay: float = 0.0,
) -> keras.callbacks.History:
    # Recipes, whose models may be of the other one, train so, too.
    keras = importlib.import_module("tf_keras" if "tf_keras" in type(model).__module__ else "keras")
    rate = keras.optimizers.schedules.CosineDecay(learning_rate, data.steps * data.epochs)
    # Keras lets the decay bypass the momentum, which multiplies a decay in the gradient by 10.
    decay = 10 * weight_decay or None
    sgd = keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, weight_decay=decay)
    sgd.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    model.compile(
        optimizer=sgd,
        loss=keras.losses.SparseCategoricalCrossentropy(
            from_logits=not frameworks.of(model).ends_in_softmax(model.outputs[0])
        ),
        metrics=["accuracy"],
    )
    verbose = 1 if sys.stdout.isatty() else 2
    options = {"steps_per_epoch": data.steps, "validation_data": data.test, "verbose": verbose}
    return model.fit(data.train, epochs=data.epochs, callbacks=callbacks, **options)


def prune(dense: keras.Model, data: Data, args: argparse.Namespace) -> tuple:
    """Prunes and fine-tunes in one go; returns the pruned model and what is known of that."""
    pruned = spp.prune(dense, target_speedup=args.speedup, representative_data=data.train)
    logs = args.output / "logs"
    epochs = train(pruned, data, args.learning_rate, spp.SPPCallback(logs))
    return pruned, [logs, epochs]


def measure(model: keras.Model, data: Data, tflite: Path) -> dict[str, float]:
    """Counts on the model, and on its TFLite file, which is made here."""
    metrics = keras.metrics
    accuracies = {
        "top1": metrics.SparseCategoricalAccuracy(),  # top-1 of the other would count ties as right
        "top5": metrics.SparseTopKCategoricalAccuracy(5),
    }
    for images, labels in data.test:
        outputs = model.predict_on_batch(images)
        for accuracy in accuracies.values():
            accuracy.update_state(labels, outputs)
    analysis, exported = spp.analyze(model), spp.export_tflite(model, tflite)
    counts = {"macs": analysis.macs, "params": analysis.params, "tflite_bytes": exported.bytes}
    return {name: float(top.result()) for name, top in accuracies.items()} | counts


def compare(
    dense: keras.Model, pruned: keras.Model, data: Data, output: Path, history: Any, runs: int = 200
) -> dict[str, Any]:
    """Makes the small model, the TFLite files and the report, and measures dense and small."""
    small = spp.shrink(pruned)
    small.save(output / "small.keras")
    models = {"dense": dense, "small": small}
    files = {name: output / f"{name}.tflite" for name in models}
    results: dict[str, Any]
    results = {name: measure(model, data, files[name]) for name, model in models.items()}
    timing = spp.benchmark(files, runs=runs)
    for row in timing:
        results[row.name] |= {"tflite_ms": row.median_ms, "tflite_speedup": row.ratio}
    images = data.test.take(8)
    expected, outputs = (model.predict(images, verbose=0) for model in (pruned, small))
    difference = np.abs(outputs - expected).max() / np.abs(expected).max()
    results["largest_relative_difference"] = float(difference)
    facts = {"tflite": files, "benchmark": timing, "history": history, "data": data.test}
    spp.report(dense, small, output / "report.html", **facts)
    return results | {"model": dense.name, "epochs": data.epochs}


def report(results: dict[str, Any], output: Path) -> None:
    """Writes results.json and prints one table, and what it rests on."""
    (output / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    dense, small = results["dense"], results["small"]
    table = Table("", title=f"{results['model']} on {results['dataset']}")
    for title in ("dense", "small", "ratio"):
        table.add_column(title, justify="right")
    for title, key in (("top-1", "top1"), ("top-5", "top5")):
        points = 100 * (small[key] - dense[key])
        table.add_row(title, f"{dense[key]:.2%}", f"{small[key]:.2%}", f"{points:+.2f} points")
    for title, key in (("MACs", "macs"), ("params", "params"), ("TFLite bytes", "tflite_bytes")):
        ratio = dense[key] / small[key]
        table.add_row(title, f"{dense[key]:,}", f"{small[key]:,}", f"{ratio:.2f}x")
    ms = [f"{column['tflite_ms']:.3f}" for column in (dense, small)]
    table.add_row("TFLite ms", *ms, f"{small['tflite_speedup']:.2f}x")
    Console().print(table)
    print("top-1, top-5: Keras models, all test images. TFLite: float32, one thread, median.")
    difference = results["largest_relative_difference"]
    print(f"Outputs of the small model equal the pruned one's up to {difference:.0e} (relative).")
    print(f"After {results['seconds']:.0f} s, all of it is in {output}/.")
    print(f"For a browser: {output / 'report.html'}")


def main() -> None:
    started = time.monotonic()
    args = parse()
    args.output.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(0)
    if args.dataset:
        dense = spp.load_model(args.model, compile=False)
        if not isinstance(dense, keras.Model):
            sys.exit(
                f"{args.model} is of another Keras than the demo runs on: set KERAS=2 or KERAS=3."
            )
    else:
        dense = residual_network((16, 16, 1), classes=10)
    data = load(args, dense.input_shape[1:])
    print(
        f"How accurate, small and fast is {dense.name} on {args.dataset or 'handwritten digits'} "
        f"with {args.speedup:g}x fewer MACs?"
    )
    if not args.dataset:
        print(f"\nTraining the dense network: {data.epochs} epochs")
        train(dense, data, args.learning_rate)
    print(
        f"\nSearching for what it can do without; then pruning that and fine-tuning: "
        f"{data.epochs} epochs in all"
    )
    pruned, history = prune(dense, data, args)
    print("\nShrinking, exporting to TFLite, timing both")
    results = compare(dense, pruned, data, args.output, history)
    results["dataset"] = args.dataset or "digits"
    results["seconds"] = time.monotonic() - started
    report(results, args.output)


if __name__ == "__main__":
    main()
