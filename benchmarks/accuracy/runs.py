"""What pruning costs in accuracy: methods x speedups x seeds, all with the same training.

    python -m benchmarks.accuracy --dataset cifar10 --data-dir DIR --model resnet20_cifar10.keras \\
        --method dense "one_shot(allocation='uniform')" 'spp()' --speedup 2 3 --seed 0 1 \\
        --epochs 12 --results docs/measured/results/resnet20.jsonl

Every run starts from the same saved model and trains for the same number of steps; only what is
pruned, and when, differs. "dense" gets the same extra training and loses nothing. Channels are
removed at the end of the epoch in which the last one has been chosen, and the small network trains
on with the sliced state of the optimizer. A method is written as a call: `one_shot`, `gradual` or
`spp` (the library's schedules, or one of the variants in benchmarks/accuracy/variants.py) with the
schedule's arguments and those of its `METHOD_OPTIONS`, as in `spp(A=0.1, allocation="pca")`. Each
run is a line of JSON in the results; runs that are there already are not made again, so an
interrupted command goes on where it was.

`python -m benchmarks.accuracy.results` makes the tables and plots of docs/measured/results.md.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
from datetime import date
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from benchmarks.accuracy.training import measure
from benchmarks.accuracy.variants import read_method
from benchmarks.apart import apart
from examples import images
from keras_spp.util.files import atomic_path


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.accuracy", description=__doc__.splitlines()[0]
    )
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


def list_runs(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Returns what identifies each run; "dense" is neither faster nor grouped."""
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
    runs: list[dict[str, Any]] = []
    for seed, granularity, speedup, method in itertools.product(
        options.seed, options.granularity, options.speedup, options.method
    ):
        pruning = {"granularity": granularity, "speedup": speedup, "round_to": options.round_to}
        if method == "dense":
            pruning = dict.fromkeys(pruning)
        run = {**same, "method": method, **pruning, "seed": seed}
        if run not in runs:
            runs.append(run)
    return runs


def read(path: Path) -> list[dict[str, Any]]:
    """Returns the lines of a results file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def is_made(path: Path, run: dict[str, Any]) -> bool:
    """Tells whether a results file has the line of a run."""
    return any(line["run"] == run for line in read(path))


def add(path: Path, line: dict[str, Any]) -> None:
    """Adds a line to a results file, with the date."""
    lines = [*read(path), line | {"date": date.today().isoformat()}]
    with atomic_path(path) as temporary:
        temporary.write_text("".join(json.dumps(line) + "\n" for line in lines))


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    for folder in filter(None, (options.results.parent, options.keep)):
        folder.mkdir(parents=True, exist_ok=True)
    todo = list_runs(options)
    for number, run in enumerate(todo, 1):
        if is_made(options.results, run):
            continue
        result = apart(measure, run, options.model, options.data_dir, options.keep)
        add(options.results, {"run": run, **result})
        print(
            f"{number}/{len(todo)} {run['method']} {run['granularity']} {run['speedup']} seed "
            f"{run['seed']}: top-1 {result['top1']:.4f}, {result['macs_speedup']:.2f}x, "
            f"{result['seconds']} s",
            flush=True,
        )
