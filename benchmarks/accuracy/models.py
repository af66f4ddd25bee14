"""The published networks through prune and shrink: how exact, small and fast, and counted right.

    python -m benchmarks.accuracy.models [--output models.jsonl] [--only LIBRARY/NAME ...]
        [--write docs/measured/models.md]

All of tf_keras.applications (library `tf_keras`), Keras 3's keras.applications (`keras`), KerasCV's
backbones (`keras_cv`) and KerasHub's networks for images (`keras_hub`), with random weights and
masks at a pruning ratio of 0.5, one JSON line each. Networks that the output has already, measured
with the same source files of keras_spp on the same backend, are not measured again. `--table` only
prints what is there as Markdown with a power-law fit of seconds against layers; `--write` replaces
the tables of that page. With KERAS_BACKEND=jax, networks of Keras 3 are measured on JAX.

Ends with an error that lists the networks that are not as they should be: they do not run, pruned
and shrunk outputs differ in float64, half the channels gone is not half the MACs and `spp.analyze`
gives no reason, or its MACs and parameters are not those that TensorFlow's profiler counts.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.accuracy.models_page import page, speedup, worst_counts, write
from benchmarks.accuracy.network import LIBRARIES, VERSION, backend_of, measure
from benchmarks.apart import apart
from keras_spp.util.files import atomic_path

EXACT = 1e-10  # in float64
ROUNDED = 2e-5  # in float32
COUNTED = 5e-3
SPEEDUP = 1.9
Key = tuple[str, str, str]


def problems(row: dict[str, Any]) -> list[str]:
    """What is not as it should be."""
    found = []
    if row["version"] != VERSION:
        found.append("measured with other source files of keras_spp")
    # On JAX, Keras computes means in float32 whatever it is given.
    exact = EXACT if row["backend"] == "tensorflow" else ROUNDED
    if not row["difference"] <= exact:
        found.append(f"pruned and shrunk outputs differ by {row['difference']:.1e}")
    # A network that rounds more by itself, as float64 tells, may do so when it is rebuilt.
    if not row["difference32"] <= max(ROUNDED, row["rounding32"]):
        found.append(f"pruned and shrunk outputs differ by {row['difference32']:.1e} in float32")
    if not row["variation"] > 1e-3:
        found.append("the outputs hardly depend on the inputs, so they compare nothing")
    if speedup(row) < SPEEDUP and not row["reasons"]:
        found.append(f"only {speedup(row):.2f}x fewer MACs, and analyze has no reason")
    for what, off in zip(("MACs", "parameters"), worst_counts(row), strict=True):
        if off > COUNTED:
            found.append(f"{what} are off by {off:.1%} from TensorFlow's profiler")
    return found


def key(row: dict[str, Any]) -> Key:
    """What a line is about."""
    return row["library"], row["model"], row["backend"]


def read(path: Path) -> dict[Key, dict[str, Any]]:
    """The line of each network."""
    lines = path.read_text().splitlines() if path.exists() else []
    return {key(row): row for row in map(json.loads, lines)}


def main() -> None:
    everything = [f"{library}/{name}" for library, names in LIBRARIES.items() for name in names]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("models.jsonl"))
    parser.add_argument("--only", nargs="+", default=everything, choices=everything, metavar="NAME")
    parser.add_argument("--table", action="store_true", help="measure nothing, print the table")
    parser.add_argument(
        "--write", type=Path, metavar="PAGE", help="replace the tables of this page"
    )
    options = parser.parse_args()
    rows, failed = read(options.output), {}
    for which in [] if options.table else options.only:
        library, name = which.split("/")
        if rows.get((library, name, backend_of(library)), {}).get("version") == VERSION:
            continue
        try:
            row = apart(measure, library, name)
        except Exception as error:  # the others are worth having
            failed[which] = [f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"]
            print(f"{which}: {failed[which][0]}", flush=True)
            continue
        rows[key(row)] = row
        print(json.dumps(row), flush=True)
        with atomic_path(options.output) as temporary:
            temporary.write_text("".join(json.dumps(row) + "\n" for row in rows.values()))
    if options.table:
        print(page(rows.values()))
    if options.write:
        write(options.write, page(rows.values()))
    failed.update({"/".join(key(row)[:2]): problems(row) for row in rows.values() if problems(row)})
    if failed:
        lines = [f"  {name}: {problem}" for name in failed for problem in failed[name]]
        raise SystemExit("\n".join(["Not as it should be:", *lines]))


if __name__ == "__main__":
    main()
