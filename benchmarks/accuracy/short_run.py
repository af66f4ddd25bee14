"""What 200 training steps make of a trained CIFAR-10 network, before any fine-tuning.

    python -m benchmarks.accuracy.short_run --data-dir DIR --model FILE [--steps 200] [--speedup 2]
        [--compensated 1024] [--seed 0] [--keras 3]

DIR is a TensorFlow Datasets folder with cifar10, FILE a saved tf_keras classifier with logits
out whose input is (pixel / 255 - mean) / std with ImageNet's constants. For both granularities
it prints the top-1 accuracy, the MACs counted on the rebuilt model, the largest relative
difference between the shrunk and the pruned model, and TFLite latency side by side.

With --compensated the weights that remain are solved for with so many training images, as soon as
the last group is decided. With --keras 3 the network is rebuilt in Keras 3 and trained there, on
the backend that KERAS_BACKEND names.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras

import keras_spp as spp
from benchmarks.to_keras3 import converted
from examples import images
from keras_spp.frameworks.tf_keras.loading import load_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--speedup", type=float, default=2.0)
    parser.add_argument("--learning-rate", type=float, default=0.01)
    parser.add_argument("--compensated", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keras", type=int, choices=[2, 3], default=2)
    options = parser.parse_args()

    keras: Any = tf_keras
    dense = load_model(options.model, compile=False)
    if options.keras == 3:
        import keras

        dense = converted(dense)
    keras.utils.set_random_seed(options.seed)
    builder, shape = images.find("cifar10", options.data_dir), dense.input_shape[1:]
    train = images.batches(builder, "train", shape, 128, augmentation="flip", seed=options.seed)
    test = images.batches(builder, "test", shape, 500)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    dense.compile(loss=loss, metrics=["accuracy"])
    x = next(iter(test))[0][:64].numpy()
    print(f"{dense.name}: top-1 {dense.evaluate(test, verbose=0)[1]:.4f}, {options.steps} steps")

    made_up: dict[str, Any] = {}
    if options.compensated:
        samples = images.some(builder, "train", shape, options.compensated)
        made_up = {"original": dense, "representative_data": samples, "samples": len(samples)}
    with tempfile.TemporaryDirectory() as folder:
        files = {"dense": Path(folder, "dense.tflite")}
        spp.export_tflite(dense, files["dense"])
        for granularity in ("channel", "column"):
            pruned = spp.prune(
                dense,
                target_speedup=options.speedup,
                granularity=granularity,
                round_to=1,
                allocation=spp.Search(verbose=0),
                representative_data=train.take(20),
                schedule=spp.SPPSchedule(frequency=2),
                seed=options.seed,
            )
            optimizer = keras.optimizers.SGD(options.learning_rate, momentum=0.9)
            pruned.compile(optimizer, loss, metrics=["accuracy"])
            callback = spp.SPPCallback(**made_up)
            pruned.fit(train.take(options.steps), callbacks=[callback], verbose=0)
            small = spp.shrink(pruned)
            small.compile(loss=loss, metrics=["accuracy"])
            expected, found = (np.asarray(model(x, training=False)) for model in (pruned, small))
            difference = np.abs(found - expected).max() / np.abs(expected).max()
            columns = spp.Pruner(pruned).progress().macs_speedup
            rebuilt = spp.analyze(dense).macs / spp.analyze(small).macs
            print(
                f"{granularity}: top-1 {small.evaluate(test, verbose=0)[1]:.4f}, MACs speedup "
                f"{rebuilt:.3f} on the rebuilt model, {columns:.3f} without pruned columns, "
                f"difference {difference:.1e}"
            )
            files[granularity] = Path(folder, f"{granularity}.tflite")
            spp.export_tflite(small, files[granularity])
        print(spp.benchmark(files, runs=300))


if __name__ == "__main__":
    main()
