"""What compression costs networks from ImageNet on photos, and what an epoch of training adds.

    python -m benchmarks.accuracy.photos --data-dir DIR --model FILE [FILE ...] --trained DIR
        [--size 160] [--speedup 1.5 2] [--rate 0.01] [--seed 0] [--results FILE]

DIR is a folder of images in train/ and test/, FILE a saved tf_keras network that takes pixels from
0 to 255 and has a layer `avg_pool` of features. A head is trained on the features, then all layers;
the network is kept in the folder --trained, from which another run takes it, and the reports of
`spp.compress` beside it. For each speedup it prints the top-1 accuracy on the test photos and that
after an epoch of training, the same for all: of `spp.compress` with 1,024 training photos without
labels, and of the plan of `spp.Search` where the least norms go and nothing is made up for. All
with any number of survivors. The file of results gets a line of JSON for each; what is there
already is not done again.
"""

import argparse
import functools
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

import keras_spp as spp
from benchmarks.accuracy.runs import add, is_made
from examples import images
from keras_spp.frameworks.tf_keras.loading import load_model
from keras_spp.pruning.network import label
from keras_spp.pruning.one_shot import pruned_at_once
from keras_spp.pruning.order import by_norms
from keras_spp.pruning.targets import Speedup

FEATURES, SAMPLES, BATCH = "avg_pool", 1024, 32
HEAD, EPOCHS = 10, 4  # of the head alone, of all layers
FINE = 0.2  # the learning rate of the epoch that is compared, relative to that before
PIXELS = images.NORMALIZATIONS["pixels"]
# The statistics of 68 batches would be those of ImageNet still, at the momentum of long trainings.
MOMENTUM = 0.9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--model", required=True, nargs="+", type=Path)
    parser.add_argument("--trained", required=True, type=Path)
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--speedup", type=float, nargs="+", default=[1.5, 2.0])
    parser.add_argument("--rate", type=float, default=0.01)
    parser.add_argument("--seed", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int, default=20, help="of spp.compress")
    parser.add_argument("--results", type=Path, help="file of JSON lines to add to")
    options = parser.parse_args()

    options.trained.mkdir(parents=True, exist_ok=True)
    for seed, path in itertools.product(options.seed, options.model):
        keras.utils.set_random_seed(seed)
        photos = Photos(options.data_dir, (options.size, options.size, 3), seed)
        file = options.trained / f"{path.stem}_{options.size}_{seed}.keras"
        if not file.exists():
            classifier(load_model(path, compile=False), photos, options.rate).save(file)
        how = {"seed": seed, "epochs": options.epochs}
        for method, speedup, make in networks(file, photos, options.speedup, **how):
            run = {"model": path.name, "size": options.size, "rate": options.rate, **how}
            run |= {"method": method, "speedup": speedup}
            if not (options.results and is_made(options.results, run)):
                keras.utils.set_random_seed(seed)  # the same whether rows before are there or not
                found = measured(*make(), photos, FINE * options.rate)
                print(f"{path.stem}, {method}, {speedup:g}x, seed {seed}: {found}", flush=True)
                if options.results:
                    add(options.results, {"run": run, **found})


class Photos:
    """The photos as the networks take them."""

    def __init__(self, folder: str, shape: tuple[int, int, int], seed: int) -> None:
        self._builder, self.shape, self._seed = images.find("folder", folder), shape, seed
        self.classes = self._builder.info.features["label"].num_classes
        self.steps = self._builder.info.splits["train"].num_examples // BATCH
        self.test = self.plain("test").cache()

    def plain(self, split: str) -> tf.data.Dataset:
        """Every photo once, in order."""
        return images.batches(self._builder, split, self.shape, 128, normalize=PIXELS)

    def train(self) -> tf.data.Dataset:
        """Parts of photos, mirrored or not, without an end."""
        options = {"augmentation": "flip", "normalize": PIXELS, "seed": self._seed}
        return images.batches(self._builder, "train", self.shape, BATCH, **options)

    @functools.cached_property
    def samples(self) -> np.ndarray:
        """Training photos as they are, in an order that is not that of the classes."""
        return images.some(self._builder, "train", self.shape, SAMPLES, normalize=PIXELS)


def classifier(network: keras.Model, photos: Photos, rate: float) -> keras.Model:
    """The network at this input size with a head for these classes, trained."""
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = MOMENTUM
    pixels = keras.Input(photos.shape, name="image")
    body = keras.models.clone_model(network, input_tensors=pixels)
    body.set_weights(network.get_weights())
    body = keras.Model(body.inputs, body.get_layer(FEATURES).output)
    head = keras.Sequential([keras.layers.Dropout(0.2), keras.layers.Dense(photos.classes)])
    y = np.concatenate([y for _, y in photos.plain("train")])
    head.compile("adam", loss(), metrics=["accuracy"])
    head.fit(body.predict(photos.plain("train"), verbose=0), y, BATCH, HEAD, verbose=0)
    outputs = body.output
    for layer in head.layers:
        outputs = layer(outputs)
    model = keras.Model(body.inputs, outputs, name=network.name)
    print(f"{model.name}: top-1 {100 * top1(model, photos):.2f} % with a head alone", flush=True)
    fit(model, photos, rate, EPOCHS)
    return model


def loss() -> keras.losses.Loss:
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def fit(model: keras.Model, photos: Photos, rate: float, epochs: int) -> None:
    """Trains all layers."""
    decay = keras.optimizers.schedules.CosineDecay(rate, photos.steps * epochs)
    model.compile(keras.optimizers.SGD(decay, momentum=0.9), loss())
    model.fit(photos.train(), steps_per_epoch=photos.steps, epochs=epochs, verbose=0)


def top1(model: keras.Model, photos: Photos) -> float:
    model.compile(metrics=["accuracy"])
    return model.evaluate(photos.test, verbose=0)[1]


def networks(
    file: Path, photos: Photos, speedups: list[float], seed: int, epochs: int
) -> Iterator[tuple[str, float, Callable[[], tuple[keras.Model, dict[str, Any]]]]]:
    """Yields a method, a speedup, and what makes that network and says what it took."""
    yield "dense", 1.0, lambda: (load_model(file, compile=False), {})
    for speedup in speedups:
        options = {"seed": seed, "epochs": epochs}
        yield "compress", speedup, functools.partial(compressed, file, photos, speedup, **options)
        yield "least norms", speedup, functools.partial(least_norms, file, photos, speedup)


def measured(
    model: keras.Model, found: dict[str, Any], photos: Photos, rate: float
) -> dict[str, Any]:
    """What is known of a network and its top-1 accuracies: as it is, and after an epoch."""
    found = found | {"macs": spp.analyze(model).macs, "top1": top1(model, photos)}
    fit(model, photos, rate, 1)
    return found | {"after_an_epoch": top1(model, photos)}


def compressed(file: Path, photos: Photos, speedup: float, **how: int):
    """Compresses a network; returns the small one and what it took; keeps the report."""
    model = load_model(file, compile=False)
    options = {"round_to": 1, "verbose": 0, "return_report": True, **how}
    small, report = spp.compress(model, photos.samples, speedup, **options)
    file.with_name(f"{file.stem}_{speedup:g}x.txt").write_text(str(report))
    return small, {"seconds": round(report.seconds)}


def least_norms(file: Path, photos: Photos, speedup: float):
    """Carries out the plan of `spp.Search` at once."""
    network = label(load_model(file, compile=False), scores=by_norms)
    goals = Speedup(speedup).meet(network, spp.Search(verbose=0), photos.samples, 1)
    return pruned_at_once(network.model, network.groups, goals), {}


if __name__ == "__main__":
    main()
