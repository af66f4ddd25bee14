"""Every network of tf_keras.applications through prune and shrink: how exact, small and fast.

    python benchmarks/applications.py [--output results.jsonl] [--only NAME ...] [--table]

Weights, normalisation statistics and masks are random; everything is computed in float64, because
some networks with random weights amplify the rounding of float32 a millionfold. One JSON line per
network: the largest relative difference between pruned and shrunk outputs, MACs before and after
at pruning ratio 0.5, the share of frozen channels, and seconds for building and cloning the Keras
model, for analysis and for the rebuild. Networks that are in the output already are skipped.
`--table` prints the lines as Markdown with a power-law fit of seconds against layers.
"""

import argparse
import inspect
import json
import time
import warnings
from pathlib import Path

import numpy as np
import tf_keras as keras

import keras_spp as spp
from keras_spp.graph import clone_layer, find_channels, rebuild

SIZES = (32, 71, 75, 96, 128, 224)


def names() -> list[str]:
    """The 71 model functions."""
    found = vars(keras.applications).items()
    return sorted(name for name, value in found if inspect.isfunction(value))


def build(name: str) -> keras.Model:
    """The network at the smallest input that it accepts."""
    make = getattr(keras.applications, name)
    for size in SIZES:
        try:
            return make(
                weights=None, classes=10, classifier_activation=None, input_shape=(size, size, 3)
            )
        except ValueError as error:
            cause = error
    raise cause


def randomise(model: keras.Model) -> None:
    """Weights that keep the signal alive, statistics far from the identity."""
    random = np.random.default_rng(0)
    for variable in model.weights:
        shape = tuple(variable.shape)
        if "variance" in variable.name:
            value = random.uniform(0.1, 1.0, shape)
        elif "gamma" in variable.name:
            value = random.uniform(0.7, 1.7, shape)
        elif len(shape) > 1:
            inputs = shape[:-2] if "depthwise" in variable.name else shape[:-1]
            value = random.normal(size=shape) * np.sqrt(2 / np.prod(inputs))
        else:
            value = random.normal(scale=0.3, size=shape)
        variable.assign(value)


def prune_at_random(pruned: keras.Model) -> None:
    """As many groups of each set as its goal says; some of the others get a probability."""
    random = np.random.default_rng(0)
    pruner = spp.Pruner(pruned)
    p = random.uniform(0, 0.9, len(pruner.sets.of_group)) * random.integers(0, 2)
    for number, goal in enumerate(pruner.sets.goal):
        p[random.permutation(np.flatnonzero(pruner.sets.of_group == number))[:goal]] = 1
    pruner.set_probabilities(p)


def measure(name: str) -> dict:
    """One line of the results."""
    keras.backend.clear_session()
    keras.backend.set_floatx("float64")
    seconds = {}

    def timed(what, function, *arguments, **options):
        start = time.perf_counter()
        result = function(*arguments, **options)
        seconds[what] = round(time.perf_counter() - start, 3)
        return result

    model = timed("build", build, name)
    timed("clone", rebuild, model, clone_layer)
    randomise(model)
    classes = timed("analyse", find_channels, model)
    pruned = timed("prune", spp.prune, model, pruning_ratio=0.5, round_to=1)
    prune_at_random(pruned)
    small = timed("shrink", spp.shrink, pruned)
    dense, after = spp.analyze(model), spp.analyze(small)

    random = np.random.default_rng(1)
    x = random.normal(size=(2, *model.input_shape[1:])) * 50
    expected, found = pruned(x, training=False).numpy(), small(x, training=False).numpy()
    made = [axis for axis in classes.channels.axes.values() if axis.role == "writes"]
    frozen = [~classes.prunable[classes.of(axis)] for axis in made]
    return {
        "model": name,
        "layers": len(model.layers),
        "input": model.input_shape[1],
        "difference": float(np.abs(expected - found).max() / np.abs(expected).max()),
        "variation": float(np.ptp(expected, axis=0).max() / np.abs(expected).max()),
        "macs": dense.macs,
        "macs_small": after.macs,
        "speedup": round(dense.macs / after.macs, 3),
        "frozen": round(float(np.concatenate(frozen).mean()), 3),
        "reasons": sorted({row.reason.partition(" (")[0] for row in dense if row.reason}),
        "seconds": seconds,
    }


def table(rows: list[dict]) -> str:
    """The results as Markdown, with the fit below."""
    lines = [
        "| model | layers | relative difference | MACs | after | speedup | frozen | seconds |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in sorted(rows, key=lambda row: row["model"]):
        lines.append(
            f"| {row['model']} | {row['layers']:,} | {row['difference']:.1e} | "
            f"{row['macs'] / 1e6:,.0f} M | {row['macs_small'] / 1e6:,.0f} M | "
            f"{row['speedup']:.2f}x | {row['frozen']:.0%} | {seconds(row):.1f} |"
        )
    layers = np.log([row["layers"] for row in rows])
    exponent = np.polyfit(layers, np.log([seconds(row) for row in rows]), 1)[0]
    worst = max(row["difference"] for row in rows)
    speedup = np.median([row["speedup"] for row in rows])
    lines.append(
        f"\n{len(rows)} networks; largest relative difference {worst:.1e}; median speedup in MACs "
        f"{speedup:.2f}x; seconds grow with the number of layers to the power {exponent:.2f}."
    )
    return "\n".join(lines)


def seconds(row: dict) -> float:
    """Analysis and shrink; almost all of it is Keras making the layers of the small model."""
    return row["seconds"]["analyse"] + row["seconds"]["shrink"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("applications.jsonl"))
    parser.add_argument("--only", nargs="+", default=names(), help="names of networks")
    parser.add_argument("--table", action="store_true", help="print what is in the output")
    options = parser.parse_args()
    lines = options.output.read_text().splitlines() if options.output.exists() else []
    rows = [json.loads(line) for line in lines]
    if options.table:
        print(table(rows))
        return
    for name in options.only:
        if name in {row["model"] for row in rows}:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            row = measure(name)
        print(json.dumps(row), flush=True)
        with options.output.open("a") as file:
            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
