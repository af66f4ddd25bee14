"""What pruning without training costs, by samples and by what each part of compensation adds.

    python -m benchmarks.accuracy.compensation --data-dir DIR --model FILE [--dataset cifar10]
        [--speedup 2 3] [--granularity channel column] [--samples 64 256 1024 4096] [--seed 0]
        [--epochs 20] [--parts]

FILE is a saved tf_keras classifier whose input is (pixel / 255 - mean) / std with ImageNet's
constants, DIR a TensorFlow Datasets folder (or with --dataset folder one of images). Samples are
training images as they are, without labels; the accuracy is that of all test images, with any
number of survivors, and in brackets the seconds that all of `spp.compress` took.

--parts prints instead what each part adds with 1,024 samples, at the shares of `spp.Search`.
"""

import argparse
import time

import tf_keras as keras

import keras_spp as spp
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
    parser.add_argument("--model", required=True)
    parser.add_argument("--speedup", type=float, nargs="+", default=[2.0])
    parser.add_argument("--granularity", nargs="+", default=["channel"])
    parser.add_argument("--samples", type=int, nargs="+", default=[64, 256, 1024, 4096])
    parser.add_argument("--seed", type=int, nargs="+", default=[0], help="of spp.compress")
    parser.add_argument("--epochs", type=int, default=20, help="of spp.compress")
    parser.add_argument("--parts", action="store_true")
    options = parser.parse_args()

    model = load_model(options.model, compile=False)
    builder, shape = images.find(options.dataset, options.data_dir), model.input_shape[1:]
    test = images.batches(builder, "test", shape, 500)
    samples = max(PARTS, *options.samples)
    x = images.some(builder, "train", shape, samples)

    def top1(network: keras.Model) -> float:
        network.compile(metrics=["accuracy"])
        return 100 * network.evaluate(test, verbose=0)[1]

    print(f"{model.name}: top-1 {top1(model):.2f} %")
    for granularity in options.granularity:
        for speedup in options.speedup:
            if options.parts:
                parts(model, x, top1, granularity, speedup, options.epochs)
                continue
            for seed in options.seed:
                how = {"granularity": granularity, "seed": seed, "epochs": options.epochs}
                by_samples(model, x, top1, speedup, options.samples, how)


def by_samples(model, x, top1, speedup, counts, how):
    """Prints a line of accuracies, one for each number of samples."""
    cells = []
    for count in counts:
        start = time.perf_counter()
        small = spp.compress(model, x, speedup, samples=count, round_to=1, verbose=0, **how)
        seconds = time.perf_counter() - start
        cells.append(f"{top1(small):.2f} ({seconds:.0f} s)")
    what = f"{how['granularity']} {speedup:g}x, seed {how['seed']}, {how['epochs']} epochs"
    print(f"| {what} | {' | '.join(cells)} |", flush=True)


def parts(model, x, top1, granularity, speedup, epochs):
    """Prints what each part adds."""
    x, framework = x[:PARTS], frameworks.of(model)
    norms = label(model, granularity, scores=by_norms)
    chosen = label(model, granularity, scores=by_data(gathered(framework, model, x, PARTS)))
    goals = Speedup(speedup).meet(norms, spp.Search(verbose=0), x, 1)

    def line(what, network, change):
        small = pruned_at_once(network.model, network.groups, goals)
        change(small)
        print(f"| {granularity} {speedup:g}x | {what} | {top1(small):.2f} |", flush=True)

    def solved(**options):
        return lambda small: spp.compensate(small, model, x, PARTS, **options)

    def fitted(small):
        used, held_back = split(framework, model, gathered(framework, model, x, PARTS))
        spp.compensate(small, model, used, PARTS)
        fit(framework, small, model, (used, held_back), epochs, 0)

    line("least norms go, nothing else", norms, lambda small: None)
    line(
        "statistics of normalisations", norms, lambda s: spp.reestimate_batch_norm(s, x, most=None)
    )
    line("intercepts", norms, solved(ridge=1e12, residual=False))
    line("least squares", norms, solved(residual=False))
    line("least squares, additions too", norms, solved())
    line("what the others can make up for goes, nothing else", chosen, lambda small: None)
    line("all that is solved for", chosen, solved())
    line("and fitted together", chosen, fitted)


if __name__ == "__main__":
    main()
