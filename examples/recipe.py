"""What the recipes share: open the data, train a network if it is not trained, prune it, compare.

A recipe is a network, a dataset and a few constants. `main` makes a command of it.
"""

from __future__ import annotations

import argparse
import inspect
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf
import tf_keras as keras

import keras_spp as spp
from examples import demo, images

L = keras.layers

IMAGENET_CLASSES = 1000
# What networks without a head end in.
POOLED = L.GlobalAveragePooling2D, L.GlobalMaxPooling2D, L.Flatten


@dataclass(frozen=True)
class Recipe:
    """A network, its data, and how to train and prune it.

    Rates fall to 0 along a cosine, and `weight_decay` is that of the literature: a share of the
    weight added to its gradient.
    """

    description: str
    network: Callable[..., keras.Model]  # (image size, classes); may take weights="imagenet" too
    dataset: str  # name in TensorFlow Datasets, or "folder"
    test_split: str
    image_size: int
    speedup: float
    epochs: int  # of pruning, which takes a tenth of them, and fine-tuning
    learning_rate: float
    dense_epochs: int  # of training before, if the network is not trained for this data
    dense_learning_rate: float
    batch_size: int
    weight_decay: float
    granularity: str = "channel"
    counted: str = "all"  # whose MACs: those of "convolutions" only, as the paper's, or of all
    train_split: str = "train"
    normalize: Callable[[tf.Tensor], tf.Tensor] = images.standardize
    needs_model: bool = False  # the data alone is too small to train the network

    @property
    def has_weights(self) -> bool:
        """Whether Keras has weights trained on ImageNet."""
        return "weights" in inspect.signature(self.network).parameters


def application(make: Callable[..., keras.Model]) -> Callable[..., keras.Model]:
    """A network of keras.applications as recipes take it."""

    def network(image_size: int, classes: int, weights: str | None = None) -> keras.Model:
        shape = (image_size, image_size, 3)
        return make(weights=weights, classes=classes, input_shape=shape, classifier_activation=None)

    network.__name__ = make.__name__.lower()
    return network


def parse(recipe: Recipe, arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=recipe.description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )

    def add(option: str, default: Any, help: str) -> None:
        parser.add_argument(option, default=default, type=type(default), help=f"{help} ({default})")

    folder = recipe.dataset == "folder"
    what = "folder with <split>/<label>/<image>" if folder else f"tfds folder of {recipe.dataset}"
    parser.add_argument("--data-dir", required=folder, help=what)
    parser.add_argument("--model", type=Path, required=recipe.needs_model, help="trained .keras")
    if recipe.has_weights:
        choices = ("imagenet", "none")
        parser.add_argument("--weights", choices=choices, default="imagenet", help="(imagenet)")
    parser.add_argument("--steps-per-epoch", type=int, help="(once over all training images)")
    parser.add_argument("--granularity", choices=("channel", "column"), default=recipe.granularity)
    counted = ("all", "convolutions")
    parser.add_argument("--counted", choices=counted, default=recipe.counted, help="whose MACs")
    add("--speedup", recipe.speedup, "dense MACs over remaining MACs")
    add("--epochs", recipe.epochs, "of pruning and fine-tuning")
    add("--learning-rate", recipe.learning_rate, "of pruning and fine-tuning, at the start")
    add("--dense-epochs", recipe.dense_epochs, "of training what is not trained for this data")
    add("--dense-learning-rate", recipe.dense_learning_rate, "at the start of that")
    add("--batch-size", recipe.batch_size, "images in a batch")
    add("--distill", 1.0, "weight of following the dense network's outputs; 0 does not")
    add("--image-size", recipe.image_size, "height and width of the input; not with --model")
    add("--train-split", recipe.train_split, "split to train on")
    add("--test-split", recipe.test_split, "split to test on")
    add("--seed", 0, "of weights, order and masks")
    add("--output", Path("runs", f"{recipe.network.__name__}_{recipe.dataset}"), "folder to fill")
    return parser.parse_args(arguments)


def find_data(recipe: Recipe, args: argparse.Namespace) -> tuple[Any, int]:
    """The tfds builder, and how many classes it has."""
    try:
        builder = images.find(recipe.dataset, args.data_dir)
    except (AssertionError, ImportError, OSError) as error:  # from tfds, with pages of advice
        raise ValueError(
            f"{recipe.dataset!r} is not prepared in --data-dir {args.data_dir!r}, and TensorFlow "
            f"Datasets cannot make it: {str(error).strip().partition(chr(10))[0]}"
        ) from error
    classes = builder.info.features["label"].num_classes
    if classes < 2:
        raise ValueError(f"The images in {args.data_dir!r} must have at least 2 labels.")
    return builder, classes


def open_model(recipe: Recipe, args: argparse.Namespace, classes: int) -> tuple[keras.Model, bool]:
    """The network with so many classes, and whether it is trained for them."""
    if args.model:
        model = spp.load_model(args.model, compile=False)
    elif recipe.has_weights and args.weights == "imagenet":
        model = recipe.network(args.image_size, IMAGENET_CLASSES, weights="imagenet")
    else:
        return recipe.network(args.image_size, classes), False
    if model.output_shape[-1] == classes and not ends_in_features(model):
        return model, True
    return with_head(model, classes), False


def ends_in_features(model: keras.Model) -> bool:
    """Whether the model has no head: its last layer makes one vector of a map."""
    return isinstance(model.layers[-1], POOLED)


def with_head(model: keras.Model, classes: int) -> keras.Model:
    """The trained model with a new last layer, for other classes."""
    last = model.layers[-1]
    if ends_in_features(model):
        features, name = model.output, "logits"
    elif isinstance(last, L.Dense):
        features, name = last.input, last.name
    else:
        raise ValueError(
            f"--model has {model.output_shape[-1]} classes, the data {classes}, and only a Dense "
            f"layer at the end can be replaced, not {last.name!r} ({type(last).__name__})."
        )
    logits = L.Dense(classes, name=name)(features)
    return keras.Model(model.input, logits, name=model.name)


def open_data(
    recipe: Recipe, args: argparse.Namespace, builder: Any, model: keras.Model
) -> demo.Data:
    """Batches as the model takes them."""
    shape = model.input_shape[1:]
    size, options = args.batch_size, {"normalize": recipe.normalize, "seed": args.seed}
    train = images.batches(builder, args.train_split, shape, size, augmentation="flip", **options)
    test = images.batches(builder, args.test_split, shape, size, **options)
    count = len(builder.as_dataset(split=args.train_split))
    return demo.Data(train, test, args.steps_per_epoch or max(1, count // size), args.epochs)


def prune(
    model: keras.Model, args: argparse.Namespace, train: tf.data.Dataset | None = None
) -> keras.Model:
    """The model, ready to be pruned; with training data, where that costs least."""
    return spp.prune(
        model,
        target_speedup=args.speedup,
        granularity=args.granularity,
        counted=args.counted,
        seed=args.seed,
        representative_data=train,
    )


def main(recipe: Recipe, arguments: list[str] | None = None) -> None:
    started = time.monotonic()
    args = parse(recipe, arguments)
    keras.utils.set_random_seed(args.seed)
    try:
        builder, classes = find_data(recipe, args)
        dense, trained = open_model(recipe, args, classes)
        prune(dense, args)  # a speedup that is out of reach is said now, not after the training
        data = open_data(recipe, args, builder, dense)
    except (ValueError, OSError) as error:
        sys.exit(str(error))
    args.output.mkdir(parents=True, exist_ok=True)
    if not trained:
        print(f"Training {dense.name} for {classes} classes: {args.dense_epochs} epochs")
        longer = data._replace(epochs=args.dense_epochs)
        demo.train(dense, longer, args.dense_learning_rate, weight_decay=recipe.weight_decay)
        dense.save(args.output / "dense.keras")  # for --model, the next time
    print(f"Pruning {dense.name} to {args.speedup:g}x fewer MACs: {args.epochs} epochs in all")
    pruned = prune(dense, args, data.train)
    logs, rate = args.output / "logs", args.learning_rate
    callback = spp.SPPCallback(logs)
    learner = spp.distill(pruned, dense, weight=args.distill) if args.distill else pruned
    epochs = demo.train(learner, data, rate, callback, weight_decay=recipe.weight_decay)
    results = demo.compare(dense, pruned, data, args.output, [logs, epochs], runs=50)
    results |= {"dataset": recipe.dataset, "seconds": time.monotonic() - started}
    results["macs_speedup"] = callback.pruner.progress().macs_speedup
    results["arguments"] = {name: str(value) for name, value in vars(args).items()}
    demo.report(results, args.output)
    if args.granularity == "column":
        print(f"Without pruned columns, zeros here: {results['macs_speedup']:.2f}x fewer MACs.")
