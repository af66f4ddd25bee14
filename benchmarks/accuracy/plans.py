"""What plans do to the outputs before any training: with restored statistics, and without.

    python -m benchmarks.accuracy.plans --dataset cifar10 --data-dir DIR --speedup 4 6 \\
        --model docs/measured/results/convnet.keras \\
        --allocation uniform fisher search

`spp.Search` compares plans by the first of the two numbers. They are measured here on test images,
which no allocation has seen; the plans' accuracies after training are what
`python -m benchmarks.accuracy` measures.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tf_keras as keras

import keras_spp as spp
from benchmarks.accuracy import variants
from benchmarks.accuracy.training import load
from keras_spp.allocation.distortion import Distortion
from keras_spp.core.groups import Groups
from keras_spp.frameworks.tf_keras.loading import load_model
from keras_spp.frameworks.tf_keras.openable import opened
from keras_spp.frameworks.tf_keras.tracing import find_channels

SAMPLES = 1024


def measured(model: keras.Model, pruned: keras.Model, granularity: str, data: Any) -> list[str]:
    """What a plan changes, restored and not, and how many groups of each set it leaves."""
    pruner, model = spp.Pruner(pruned), opened(model)
    goals = dict(zip(pruner.names, pruner.sets.goal.tolist(), strict=True))
    groups = Groups(find_channels(model, to_prune=True), granularity)
    wanted = np.array([goals[entry.name] for entry in groups.sets])
    found = [
        Distortion(model, groups, data, SAMPLES, restored)(wanted) for restored in (True, False)
    ]
    left = " ".join(str(entry.size - goals[entry.name]) for entry in groups.sets)
    return [*(f"{change:.3f}" for change in found), left]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--dataset", required=True)
    add("--data-dir")
    add("--model", required=True, type=Path)
    add("--speedup", type=float, nargs="+", default=[2.0])
    add("--granularity", default="channel", choices=("channel", "column"))
    add("--allocation", nargs="+", default=["uniform", "fisher", "search"])
    add("--seed", type=int, default=0)
    options = parser.parse_args(arguments)

    dense = load_model(options.model, compile=False)
    run = {
        "dataset": options.dataset,
        "train_split": "train",
        "test_split": "test",
        "batch_size": 128,
        "augmentation": "flip",
        "input": "imagenet",
        "seed": options.seed,
    }
    print("| speedup | allocation | statistics restored | as it is | groups left |")
    print("| ---: | --- | ---: | ---: | --- |")
    for speedup in options.speedup:
        for name in options.allocation:
            keras.utils.set_random_seed(options.seed)
            train, test, _ = load(run, dense.input_shape[1:], options.data_dir)
            pruned = spp.prune(
                dense,
                target_speedup=speedup,
                granularity=options.granularity,
                allocation=variants.ALLOCATIONS[name](),
                round_to=1,
                seed=options.seed,
                representative_data=train.take(20),
            )
            cells = f"{speedup:g}", f"`{name}`", *measured(dense, pruned, options.granularity, test)
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
