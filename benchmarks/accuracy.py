"""What pruning costs in accuracy: methods x speedups x seeds, all with the same training.

    python -m benchmarks.accuracy --dataset cifar10 --data-dir DIR --model resnet20_cifar10.keras \\
        --method dense "one_shot(allocation='uniform')" 'spp()' --speedup 2 3 --seed 0 1 \\
        --epochs 12 --results docs/results/resnet20.jsonl

Every run starts from the same saved model and trains for the same number of steps; only what is
pruned, and when, differs. "dense" gets the same extra training and loses nothing. Channels are
removed at the end of the epoch in which the last one has been chosen, and the small network trains
on with the sliced state of the optimizer. A method is written as a call: `one_shot`, `gradual` or
`spp` (the library's schedules, or one of the variants in benchmarks/variants.py) with the
schedule's arguments and those of `METHOD_OPTIONS`, as in `spp(A=0.1, allocation="pca")`. Each run
is a line of JSON in the results; runs that are there already are not made again, so an interrupted
command goes on where it was.

`python -m benchmarks.results` makes the tables and plots of docs/results.md.
"""

from __future__ import annotations

import argparse
import ast
import itertools
import json
import os
import re
import time
from datetime import date
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras_spp as spp  # isort: skip  (first: it makes sure that tf.keras is tf_keras)

import numpy as np
import tf_keras as keras

from benchmarks import variants
from benchmarks.apart import apart
from benchmarks.silent import silent
from examples import images
from keras_spp.frameworks.tf_keras.loading import load_model
from keras_spp.training.distill import ends_in_softmax
from keras_spp.util.files import atomic_path

# Search is the library's default; the norm is that of all gradients, as `global_clipnorm`.
METHOD_OPTIONS = {"allocation": "search", "distill": 0.0, "clip_norm": None}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--dataset", required=True, help='name in TensorFlow Datasets, or "folder"')
    add("--data-dir", help="folder of the dataset, which is downloaded if it is not there")
    add("--model", required=True, type=Path, help="saved classifier, softmax or logits at its end")
    add("--results", required=True, type=Path, help="file of JSON lines to add to")
    add("--method", nargs="+", default=["dense", "one_shot(allocation='uniform')", "spp()"])
    add("--speedup", type=float, nargs="+", default=[2.0])
    add("--granularity", nargs="+", default=["channel"], choices=("channel", "column"))
    add("--seed", type=int, nargs="+", default=[0])
    add("--epochs", type=int, default=12, help="of pruning and fine-tuning (default: 12)")
    add("--learning-rate", type=float, default=0.05, help="falls to 0 along a cosine")
    add("--batch-size", type=int, default=128)
    add("--round-to", type=int, default=1)
    add("--train-split", default="train")
    add("--test-split", default="test")
    add("--augmentation", default="flip", choices=images.AUGMENTATIONS)
    add("--input", default="imagenet", choices=images.NORMALIZATIONS, help="what the model takes")
    add("--precision", default="float32", help="policy of training, as mixed_bfloat16")
    add("--keep", type=Path, help="folder for the networks that come out, in float32")
    options = parser.parse_args(arguments)
    for text in options.method:
        try:
            read_method(text)
        except (ValueError, TypeError, SyntaxError) as error:
            parser.error(f"argument --method: {text}: {error}")
    return options


def read_method(text: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Name, arguments of the schedule and other options of a method.

    >>> read_method("spp(A=0.1, allocation='pca')")
    ('spp', {'A': 0.1}, {'allocation': 'pca', 'distill': 0.0, 'clip_norm': None})
    """
    call = ast.parse(text, mode="eval").body
    if isinstance(call, ast.Name):
        call = ast.Call(call, [], [])
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.args:
        raise ValueError("must be like spp(A=0.1)")
    known = ["dense", *variants.SCHEDULES]
    if call.func.id not in known:
        raise ValueError(f"{call.func.id} is none of {', '.join(known)}")
    given = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
    options = {name: given.pop(name, default) for name, default in METHOD_OPTIONS.items()}
    if options["allocation"] not in variants.ALLOCATIONS:
        raise ValueError(f"allocation must be one of {', '.join(variants.ALLOCATIONS)}")
    if call.func.id != "dense":
        variants.SCHEDULES[call.func.id](**given)
    return call.func.id, given, options


def runs(options: argparse.Namespace) -> list[dict[str, Any]]:
    """What identifies each run; "dense" is neither faster nor grouped."""
    same = {
        "model": options.model.name,
        "dataset": options.dataset,
        "train_split": options.train_split,
        "test_split": options.test_split,
        "epochs": options.epochs,
        "batch_size": options.batch_size,
        "learning_rate": options.learning_rate,
        "augmentation": options.augmentation,
        "input": options.input,
        "precision": options.precision,
    }
    found = []
    for seed, granularity, speedup, method in itertools.product(
        options.seed, options.granularity, options.speedup, options.method
    ):
        pruning = {"granularity": granularity, "speedup": speedup, "round_to": options.round_to}
        if method == "dense":
            pruning = dict.fromkeys(pruning)
        run = {**same, "method": method, **pruning, "seed": seed}
        if run not in found:
            found.append(run)
    return found


def measure(
    run: dict[str, Any], model_path: Path, data_dir: str | None, keep: Path | None = None
) -> dict[str, Any]:
    """Trains as a run says; returns what came out."""
    keras.utils.set_random_seed(run["seed"])
    started = time.monotonic()
    dense = load_model(model_path, compile=False)
    train, test, steps = load(run, dense.input_shape[1:], data_dir)
    name, arguments, others = read_method(run["method"])
    pruned = None
    if name != "dense":
        pruned = spp.prune(
            dense,
            target_speedup=run["speedup"],
            granularity=run["granularity"],
            schedule=variants.SCHEDULES[name](**arguments),
            allocation=variants.ALLOCATIONS[others["allocation"]](),
            round_to=run["round_to"],
            seed=run["seed"],
            representative_data=train.take(20),
        )
    model = in_precision(pruned or dense, run["precision"])
    if name in variants.PREPARE:
        variants.PREPARE[name](model)
    weight = others["distill"]
    teacher = in_precision(dense, run["precision"]) if weight else None

    def fit(model: keras.Model, optimizer: Any, **more: Any) -> tuple[keras.Model, dict[str, list]]:
        trained = spp.distill(model, teacher, weight=weight) if weight else model
        trained.compile(optimizer, loss(dense), metrics=["accuracy"])
        history = trained.fit(
            train,
            steps_per_epoch=steps,
            epochs=run["epochs"],
            validation_data=test,
            verbose=0,
            **more,
        ).history
        return trained, history

    callbacks = [spp.SPPCallback()] if pruned else []
    if pruned and run["granularity"] == "channel":  # columns stay, and would be trained again
        callbacks.append(StopWhenPruned())
    rate = keras.optimizers.schedules.CosineDecay(run["learning_rate"], steps * run["epochs"])
    optimizer = keras.optimizers.SGD(
        rate, momentum=0.9, nesterov=True, global_clipnorm=others["clip_norm"]
    )
    trained, history = fit(model, optimizer, callbacks=callbacks)
    counts: dict[str, Any] = {"macs_speedup": 1.0}
    if pruned:
        progress, model = spp.Pruner(model).progress(), spp.shrink(model)
        counts = count(dense, model, progress)
        if (done := len(history["loss"])) < run["epochs"]:
            _, rest = fit(model, spp.sliced_optimizer(trained, model), initial_epoch=done)
            history = {name: history[name] + values for name, values in rest.items()}
    model = in_precision(model, "float32")
    if keep is not None:
        with atomic_path(keep / file_name(run)) as temporary:
            model.save(temporary)
    return {
        **counts,
        **evaluate(model, test),
        "silent": silent(model, test),
        "history": {name: [round(v, 5) for v in values] for name, values in history.items()},
        "seconds": round(time.monotonic() - started),
    }


class StopWhenPruned(keras.callbacks.Callback):
    """Ends `fit` with the epoch in which pruning ends: the small model trains on, and faster."""

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if logs and logs["groups_decided"] == 1:
            self.model.stop_training = True


def load(run: dict[str, Any], shape: tuple, data_dir: str | None) -> tuple[Any, Any, int]:
    """Batches to train on, batches to test on, and how many of the first make an epoch."""
    builder = images.find(run["dataset"], data_dir)
    normalize = images.NORMALIZATIONS[run["input"]]
    train = images.batches(
        builder,
        run["train_split"],
        shape,
        run["batch_size"],
        augmentation=run["augmentation"],
        normalize=normalize,
        seed=run["seed"],
    )
    test = images.batches(builder, run["test_split"], shape, 500, normalize=normalize)
    return train, test, len(builder.as_dataset(split=run["train_split"])) // run["batch_size"]


def count(dense: keras.Model, small: keras.Model, progress: spp.Progress) -> dict[str, Any]:
    """What is left of the dense network, and whether the target was met."""
    rebuilt = spp.analyze(small)
    return {
        "macs_speedup": progress.macs_speedup,
        "rebuilt_speedup": spp.analyze(dense).macs / rebuilt.macs,  # pruned columns stay as zeros
        "params": rebuilt.params,
        "updates": progress.updates,
        "finished": progress.finished,
    }


def evaluate(model: keras.Model, test: Any) -> dict[str, Any]:
    """Top-1 of all images, and of each half of them."""
    labels = np.concatenate([y for _, y in test])
    outputs = model.predict(test, verbose=0)
    correct = outputs.argmax(-1) == labels
    halves = [float(half.mean()) for half in np.array_split(correct, 2)]
    return {"top1": float(correct.mean()), "top1_halves": halves}


def in_precision(model: keras.Model, policy: str) -> keras.Model:
    """The model with the same weights, computing in another precision up to its outputs."""
    config = model.get_config()
    ends = {name for name, *_ in config.get("output_layers", ())} or {
        config["layers"][-1]["config"]["name"]
    }
    for layer in config["layers"]:
        name = layer["config"]["name"]
        if layer["class_name"] != "InputLayer":
            set_policy(layer["config"], "float32" if name in ends else policy)
    result = type(model).from_config(config)
    result.set_weights(model.get_weights())
    return result


def set_policy(config: dict[str, Any], policy: str) -> None:
    """In a layer's config and those of the layers in it."""
    config["dtype"] = policy
    for value in config.values():
        if isinstance(value, dict) and "dtype" in (inner := value.get("config") or {}):
            set_policy(inner, policy)


def loss(model: keras.Model) -> keras.losses.Loss:
    """Cross entropy, of logits unless the model ends in a softmax."""
    logits = not ends_in_softmax(model.outputs[0])
    return keras.losses.SparseCategoricalCrossentropy(from_logits=logits)


def file_name(run: dict[str, Any]) -> str:
    """A name of its own for what comes out of a run.

    >>> file_name({"method": "spp(A=0.1)", "speedup": 2.0, "seed": 0})
    'spp_A_0_1_-2_0-0.keras'
    """
    parts = (run.get(key) for key in ("method", "granularity", "speedup", "epochs", "seed"))
    return "-".join(re.sub(r"\W", "_", str(part)) for part in parts if part is not None) + ".keras"


def read(path: Path) -> list[dict[str, Any]]:
    """The lines of a results file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    for folder in filter(None, (options.results.parent, options.keep)):
        folder.mkdir(parents=True, exist_ok=True)
    todo = runs(options)
    for number, run in enumerate(todo, 1):
        if any(line["run"] == run for line in read(options.results)):
            continue
        result = apart(measure, run, options.model, options.data_dir, options.keep)
        line = {"run": run, **result, "date": date.today().isoformat()}
        lines = [*read(options.results), line]
        with atomic_path(options.results) as temporary:
            temporary.write_text("".join(json.dumps(each) + "\n" for each in lines))
        print(
            f"{number}/{len(todo)} {run['method']} {run['granularity']} {run['speedup']} seed "
            f"{run['seed']}: top-1 {result['top1']:.4f}, {result['macs_speedup']:.2f}x, "
            f"{result['seconds']} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
