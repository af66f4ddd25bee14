"""The published networks through prune and shrink: how exact, small and fast, and counted right.

    python -m benchmarks.accuracy.models [--output models.jsonl] [--only NAME ...]
        [--write docs/models.md]

All of tf_keras.applications and KerasCV's backbones, with random weights and masks at a pruning
ratio of 0.5, one JSON line each. Networks that the output has already, measured with the same
source files of keras_spp, are not measured again. `--table` only prints what is there as Markdown
with a power-law fit of seconds against layers; `--write` replaces the table of that page.

Ends with an error that lists the networks that are not as they should be: they do not run, pruned
and shrunk outputs differ in float64, half the channels gone is not half the MACs and `spp.analyze`
gives no reason, or its MACs and parameters are not those that TensorFlow's profiler counts.
"""

import argparse
import gc
import hashlib
import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

import keras_spp as spp
from benchmarks.apart import apart
from keras_spp.frameworks.tf_keras.graph import layers
from keras_spp.frameworks.tf_keras.openable import opened
from keras_spp.frameworks.tf_keras.tracing import find_channels
from keras_spp.util.files import atomic_path
from tests.helpers.calibrated import calibrate
from tests.helpers.profiler import counts
from tests.helpers.random_weights import assign, random_probabilities
from tests.zoo.networks import APPLICATIONS, KERAS_CV, build

EXACT = 1e-10  # float64
COUNTED = 5e-3
SPEEDUP = 1.9
GAIN = 6.0  # half of the channels go, and others are scaled by what keeps them
ENDS = ("model input", "model output")
START, END = "<!-- models: start -->", "<!-- models: end -->"
SOURCES = sorted(Path(spp.__file__).parent.rglob("*.py"))
VERSION = hashlib.sha256(b"".join(path.read_bytes() for path in SOURCES)).hexdigest()[:12]


def measure(name: str) -> dict[str, Any]:
    """One line of the results."""
    warnings.simplefilter("ignore")
    return {"model": name, "version": VERSION, **in_float64(name), **in_float32(name)}


def in_float64(name: str) -> dict[str, Any]:
    """Everything but rounding."""
    seconds: dict[str, float] = {}

    def timed(what, function, *arguments, **options):
        start = time.perf_counter()
        result = function(*arguments, **options)
        seconds[what] = round(time.perf_counter() - start, 3)
        return result

    start_session("float64")
    model = timed("build", build, name)
    assign(variables(model), gain=GAIN)
    dense = timed("analyse", spp.analyze, model)
    row = {
        "input": model.input_shape[1],
        "macs": dense.macs,
        "params": dense.params,
        "frozen": frozen(model),
        "reasons": stopped_by(dense),
        "miscounted": [miscounted(model, dense)],
        "seconds": seconds,
    }
    pruned = timed("prune", spp.prune, model, pruning_ratio=0.5, round_to=1)
    del model  # the largest networks take gigabytes
    expected, x = prepare(pruned)
    small = timed("shrink", spp.shrink, pruned)
    after = spp.analyze(small)
    row["miscounted"].append(miscounted(small, after))
    return row | {
        "layers": len(list(layers(small))) + len(small.inputs),
        "macs_small": after.macs,
        "params_small": after.params,
        "difference": difference(expected, small(x, training=False)),
        "variation": float(np.ptp(expected, axis=0).max() / np.abs(expected).max()),
    }


def in_float32(name: str) -> dict[str, Any]:
    """Rounding: of the rebuild, and for comparison of running the same model as a graph."""
    start_session("float32")
    model = build(name)
    assign(variables(model), gain=GAIN)
    pruned = spp.prune(model, pruning_ratio=0.5, round_to=1)
    del model
    expected, x = prepare(pruned)
    graph = tf.function(lambda x: pruned(x, training=False))
    return {
        "difference32": difference(expected, spp.shrink(pruned)(x, training=False)),
        "graph32": difference(expected, graph(x)),
    }


def start_session(precision: str) -> None:
    keras.backend.clear_session()
    keras.backend.set_floatx(precision)
    gc.collect()


def variables(model: keras.Model) -> list[tf.Variable]:
    """The weights, with those that no layer owns: VGG16 of KerasCV gives its to functions."""
    calls = [node.call_args for layer in layers(model) for node in layer.inbound_nodes]
    return model.weights + [value for value in tf.nest.flatten(calls) if hasattr(value, "assign")]


def prepare(pruned: keras.Model) -> tuple[np.ndarray, np.ndarray]:
    """Masks at random; the outputs of inputs of unit scale, and these."""
    random_probabilities(pruned)
    x = np.random.default_rng(1).normal(size=(64, *pruned.input_shape[1:]))
    x = x.astype(keras.backend.floatx())
    calibrate(pruned, x)
    return pruned(x[:4], training=False).numpy(), x[:4]


def difference(expected: np.ndarray, found: tf.Tensor) -> float:
    return float(np.abs(expected - found.numpy()).max() / np.abs(expected).max())


def frozen(model: keras.Model) -> float:
    """The share of the channels made by layers with kernels that nothing can remove."""
    classes = find_channels(opened(model))
    made = [axis for axis in classes.channels.axes.values() if axis.role == "writes"]
    return float(np.mean(np.concatenate([~classes.prunable[classes.of(axis)] for axis in made])))


def stopped_by(analysis: spp.Analysis) -> list[str]:
    """The reasons of the analysis, without those that every network has."""
    reasons = [part for row in analysis if row.reason for part in row.reason.split("; ")]
    return sorted({reason.partition(" (")[0] for reason in reasons} - set(ENDS))


def miscounted(model: keras.Model, analysis: spp.Analysis) -> tuple[float, float]:
    """By how much MACs and parameters of the analysis are off."""
    macs, params = counts(model)
    return abs(analysis.macs / macs - 1), abs(analysis.params / params - 1)


def problems(row: dict[str, Any]) -> list[str]:
    """What is not as it should be."""
    found = []
    if row["version"] != VERSION:
        found.append("measured with other source files of keras_spp")
    if not row["difference"] <= EXACT:
        found.append(f"pruned and shrunk outputs differ by {row['difference']:.1e}")
    if not row["variation"] > 1e-3:
        found.append("the outputs hardly depend on the inputs, so they compare nothing")
    if speedup(row) < SPEEDUP and not row["reasons"]:
        found.append(f"only {speedup(row):.2f}x fewer MACs, and analyze has no reason")
    for what, off in zip(("MACs", "parameters"), worst_counts(row), strict=True):
        if off > COUNTED:
            found.append(f"{what} are off by {off:.1%} from TensorFlow's profiler")
    return found


def speedup(row: dict[str, Any]) -> float:
    return row["macs"] / row["macs_small"]


def seconds(row: dict[str, Any]) -> float:
    """Analysis and shrink; almost all of it is Keras making the layers of the small model."""
    return row["seconds"]["analyse"] + row["seconds"]["shrink"]


def worst_counts(row: dict[str, Any]) -> tuple[float, float]:
    """Of the dense and the small model."""
    return tuple(map(max, zip(*row["miscounted"], strict=True)))


def page(rows: dict[str, dict[str, Any]]) -> str:
    """The results as Markdown."""
    parts = []
    for title, names in (("tf_keras.applications", APPLICATIONS), ("KerasCV", KERAS_CV)):
        found = [rows[name] for name in names if name in rows]
        if found:
            parts += [f"## {title}", table(found), summary(found)]
    return "\n\n".join(parts)


def table(rows: list[dict[str, Any]]) -> str:
    cells = [columns(row) for row in rows]
    rule = ["---" if title in ("model", "because") else "---:" for title in cells[0]]
    lines = [list(cells[0]), rule, *(list(row.values()) for row in cells)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def columns(row: dict[str, Any]) -> dict[str, str]:
    macs_off, params_off = worst_counts(row)
    return {
        "model": row["model"],
        "layers": f"{row['layers']:,}",
        "MACs": f"{row['macs'] / 1e6:,.1f} M",
        "small": f"{row['macs_small'] / 1e6:,.1f} M",
        "speedup": f"{speedup(row):.2f}x",
        "params": f"{row['params'] / 1e6:,.2f} M",
        "left": f"{row['params_small'] / 1e6:,.2f} M",
        "frozen": f"{row['frozen']:.0%}",
        "because": ", ".join(row["reasons"]),
        "difference": f"{row['difference']:.0e}",
        "float32": f"{row['difference32']:.0e}",
        "graph": f"{row['graph32']:.0e}",
        "MACs off": f"{macs_off:.2%}",
        "params off": f"{params_off:.2%}",
        "seconds": f"{seconds(row):.1f}",
    }


def summary(rows: list[dict[str, Any]]) -> str:
    text = (
        f"{len(rows)} networks; largest relative difference "
        f"{max(row['difference'] for row in rows):.0e}; median speedup in MACs "
        f"{np.median([speedup(row) for row in rows]):.2f}x"
    )
    if len(rows) > 2:
        layers = np.log([row["layers"] for row in rows])
        exponent = np.polyfit(layers, np.log([seconds(row) for row in rows]), 1)[0]
        text += f"; seconds grow with the number of layers to the power {exponent:.2f}"
    return f"{text}."


def write(path: Path, text: str) -> None:
    """Puts the text between the page's two markers."""
    before, start, rest = path.read_text().partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise SystemExit(f"{path} needs the lines {START} and {END}, between which the table goes.")
    with atomic_path(path) as temporary:
        temporary.write_text(f"{before}{start}\n\n{text}\n\n{end}{after}")


def read(path: Path) -> dict[str, dict[str, Any]]:
    """The line of each network."""
    lines = path.read_text().splitlines() if path.exists() else []
    return {row["model"]: row for row in map(json.loads, lines)}


def main() -> None:
    everything = [*APPLICATIONS, *KERAS_CV]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("models.jsonl"))
    parser.add_argument("--only", nargs="+", default=everything, choices=everything, metavar="NAME")
    parser.add_argument("--table", action="store_true", help="measure nothing, print the table")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="replace the table of this page")
    options = parser.parse_args()
    rows, failed = read(options.output), {}
    for name in [] if options.table else options.only:
        if rows.get(name, {}).get("version") == VERSION:
            continue
        try:
            rows[name] = apart(measure, name)
        except Exception as error:  # the others are worth having
            failed[name] = [f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"]
            print(f"{name}: {failed[name][0]}", flush=True)
            continue
        print(json.dumps(rows[name]), flush=True)
        with atomic_path(options.output) as temporary:
            temporary.write_text("".join(json.dumps(row) + "\n" for row in rows.values()))
    if options.table:
        print(page(rows))
    if options.write:
        write(options.write, page(rows))
    failed.update({name: problems(row) for name, row in rows.items() if problems(row)})
    if failed:
        lines = [f"  {name}: {problem}" for name in failed for problem in failed[name]]
        raise SystemExit("\n".join(["Not as it should be:", *lines]))


if __name__ == "__main__":
    main()
