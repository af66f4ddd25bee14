"""What pruning without training costs, by samples and by what each part of compensation adds.

    python -m benchmarks.accuracy.compensation --data-dir DIR --model FILE [--dataset cifar10]
        [--speedup 2 3] [--granularity channel column] [--samples 64 256 1024 4096] [--seed 0]
        [--epochs 20] [--results FILE] [--parts]

FILE is a saved tf_keras classifier whose input is (pixel / 255 - mean) / std with ImageNet's
constants, DIR a TensorFlow Datasets folder (or with --dataset folder one of images). Samples are
training images as they are, without labels; the accuracy is that of all test images, with any
number of survivors, and in brackets the seconds that all of `spp.compress` took.

--parts prints instead what each part adds with 1,024 samples, at the shares of `spp.Search`. The
file of results gets a line of JSON for each; what is there already is not done again.
"""

import argparse
import functools
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tf_keras as keras

import keras_spp as spp
from benchmarks.accuracy.runs import add, is_made
from examples import images
from keras_spp import frameworks
from keras_spp.compensation.fitting import fit
from keras_spp.compensation.samples import gathered, split
from keras_spp.frameworks.tf_keras.loading import load_model
from keras_spp.pruning.network import label
from keras_spp.pruning.one_shot import pruned_at_once
from keras_spp.pruning.order import by_data, by_norms
from keras_spp.pruning.targets import Speedup

PARTS = 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--model", required=True, type=Path)
    parser.add_argument("--speedup", type=float, nargs="+", default=[2.0])
    parser.add_argument("--granularity", nargs="+", default=["channel"])
    parser.add_argument("--samples", type=int, nargs="+", default=[64, 256, 1024, 4096])
    parser.add_argument("--seed", type=int, nargs="+", default=[0], help="of spp.compress")
    parser.add_argument("--epochs", type=int, default=20, help="of spp.compress")
    parser.add_argument("--results", type=Path, help="file of JSON lines to add to")
    parser.add_argument("--parts", action="store_true")
    options = parser.parse_args()

    model = load_model(options.model, compile=False)
    builder, shape = images.find(options.dataset, options.data_dir), model.input_shape[1:]
    test = images.batches(builder, "test", shape, 500)
    samples = max(PARTS, *options.samples)
    x = images.some(builder, "train", shape, samples)

    def top1(network: keras.Model) -> float:
        network.compile(metrics=["accuracy"])
        return network.evaluate(test, verbose=0)[1]

    print(f"{model.name}: top-1 {100 * top1(model):.2f} %")
    same = {"model": options.model.name, "dataset": options.dataset, "epochs": options.epochs}

    def line(how: dict[str, Any], make: Callable[[], tuple[keras.Model, dict[str, Any]]]) -> None:
        run = same | how
        if options.results and is_made(options.results, run):
            return
        small, found = make()
        found["top1"] = top1(small)
        told = [f"{name} {value}" for name, value in how.items() if value is not None]
        seconds = f" ({found['seconds']} s)" if "seconds" in found else ""
        print(f"{', '.join(told)}: {100 * found['top1']:.2f} %{seconds}", flush=True)
        if options.results:
            add(options.results, {"run": run, **found})

    for granularity, speedup in itertools.product(options.granularity, options.speedup):
        how = {"granularity": granularity, "speedup": speedup}
        if options.parts:
            for part, make in parts(model, x[:PARTS], **how, epochs=options.epochs):
                line({**how, "seed": None, "samples": PARTS, "part": part}, make)
            continue
        for seed, samples in itertools.product(options.seed, options.samples):
            more = {"seed": seed, "samples": samples}
            make = functools.partial(compressed, model, x, **how, **more, epochs=options.epochs)
            line({**how, **more, "part": None}, make)


def compressed(model, x, speedup, **how):
    """Compresses a model; returns the small one, and what it took."""
    options = {"round_to": 1, "verbose": 0, "return_report": True}
    small, report = spp.compress(model, x, speedup, **options, **how)
    return small, {"seconds": round(report.seconds), "macs_speedup": report.speedup}


def parts(model, x, granularity, speedup, epochs):
    """Yields what each part is, and a function that makes the network with it."""
    framework = frameworks.of(model)

    @functools.cache
    def planned():
        """Networks whose groups go by norms or by what others make up for, goals, and samples."""
        batches = gathered(framework, model, x, PARTS)
        scores = {"norms": by_norms, "data": by_data(batches)}
        networks = {by: label(model, granularity, scores=score) for by, score in scores.items()}
        goals = Speedup(speedup).meet(networks["norms"], spp.Search(verbose=0), x, 1)
        return networks, goals, split(framework, model, batches)

    def small(by, change):
        networks, goals, _ = planned()
        network = pruned_at_once(networks[by].model, networks[by].groups, goals)
        change(network)
        return network, {}

    def solved(**options):
        return lambda network: spp.compensate(network, model, x, PARTS, **options)

    def fitted(network):
        used, held_back = planned()[2]
        spp.compensate(network, model, used, PARTS)
        fit(framework, network, model, (used, held_back), epochs, 0)

    for part, by, change in (
        ("least norms go, nothing else", "norms", lambda network: None),
        (
            "statistics of normalisations",
            "norms",
            lambda network: spp.reestimate_batch_norm(network, x, most=None),
        ),
        ("intercepts", "norms", solved(ridge=1e12, residual=False)),
        ("least squares", "norms", solved(residual=False)),
        ("additions made up for, too", "norms", solved()),
        ("what the others can make up for goes, nothing else", "data", lambda network: None),
        ("all that is solved for", "data", solved()),
        ("and all weights fitted together", "data", fitted),
    ):
        yield part, functools.partial(small, by, change)


if __name__ == "__main__":
    main()
