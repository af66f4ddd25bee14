"""The tables of docs/measured/models.md: what was measured of the published networks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy.network import LIBRARIES
from keras_spp.util.files import atomic_path

Row = dict[str, Any]
START, END = "<!-- models: start -->", "<!-- models: end -->"
_OF_BOTH = ("tf_keras", "keras")
_TITLES = {"keras_cv": "KerasCV (tf_keras)", "keras_hub": "KerasHub (Keras 3)"}
_KERAS = {"tf_keras": "tf_keras", "keras": "Keras 3"}
# What each Keras computes for itself; the other columns say the same of the network in both.
_BY_KERAS = ("speedup", "difference", "float32", "graph", "seconds")


def page(rows: Iterable[Row]) -> str:
    """The results as Markdown."""
    rows = list(rows)
    parts = []
    found = _of(rows, *_OF_BOTH)
    if found:
        names = sorted({row["model"] for row in found})
        pairs = [[row for row in found if row["model"] == name] for name in names]
        parts += ["## keras.applications", _table([_both(pair) for pair in pairs])]
        parts += [_summary(_of(found, library), _KERAS[library]) for library in _OF_BOTH]
        parts += _missing(found, "keras")
    for library, title in _TITLES.items():
        if found := _of(rows, library):
            cells = [{**_network(row), **_measured(row)} for row in found]
            parts += [f"## {title}", _table(cells), _summary(found), *_missing(found, library)]
    if found := [row for row in rows if row["backend"] == "jax"]:
        cells = [{"library": row["library"], "model": row["model"], **_exact(row)} for row in found]
        parts += ["## Keras 3 on JAX", _table(cells)]
    return "\n\n".join(part for part in parts if part)


def _of(rows: list[Row], *libraries: str) -> list[Row]:
    """The rows of these libraries on TensorFlow, in the libraries' order."""
    by_key = {(row["library"], row["model"]): row for row in rows if row["backend"] == "tensorflow"}
    keys = [(library, name) for library in libraries for name in LIBRARIES[library]]
    return [by_key[key] for key in keys if key in by_key]


def _both(pair: list[Row]) -> dict[str, str]:
    """One line on a network of both Keras: once what is equal, apart what each computes."""
    networks = [_network(row) for row in pair]
    cells = {
        title: " / ".join(dict.fromkeys(network[title] for network in networks))
        for title in networks[0]
    }
    for title in _BY_KERAS:
        for library, keras in _KERAS.items():
            own = [row for row in pair if row["library"] == library]
            cells[f"{title}, {keras}"] = _measured(own[0])[title] if own else ""
    return cells


def _network(row: Row) -> dict[str, str]:
    return {
        "model": row["model"],
        "MACs": f"{row['macs'] / 1e6:,.1f} M",
        "small": f"{row['macs_small'] / 1e6:,.1f} M",
        "params": f"{row['params'] / 1e6:,.2f} M",
        "left": f"{row['params_small'] / 1e6:,.2f} M",
        "frozen": f"{row['frozen']:.0%}",
        "because": ", ".join(row["reasons"]),
        "counts off": f"{max(worst_counts(row)):.2%}",
    }


def _measured(row: Row) -> dict[str, str]:
    return {
        **_exact(row),
        "graph": f"{row['graph32']:.0e}",
        "seconds": f"{seconds(row):.1f}",
    }


def _exact(row: Row) -> dict[str, str]:
    """What is measured on every backend."""
    return {
        "speedup": f"{speedup(row):.2f}x",
        "difference": f"{row['difference']:.0e}",
        "float32": f"{row['difference32']:.0e}",
    }


def _table(lines: list[dict[str, str]]) -> str:
    titles = list(lines[0])
    rule = ["---" if title in ("model", "library", "because") else "---:" for title in titles]
    cells = [titles, rule, *(list(line.values()) for line in lines)]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def _summary(rows: list[Row], of: str = "") -> str:
    if not rows:
        return ""
    text = (
        f"{of + ': ' if of else ''}{len(rows)} networks; largest relative difference "
        f"{max(row['difference'] for row in rows):.0e}; median speedup in MACs "
        f"{np.median([speedup(row) for row in rows]):.2f}x"
    )
    if len(rows) > 2:
        layers = np.log([row["layers"] for row in rows])
        exponent = np.polyfit(layers, np.log([seconds(row) for row in rows]), 1)[0]
        text += f"; seconds grow with the number of layers to the power {exponent:.2f}"
    return f"{text}."


def _missing(rows: list[Row], library: str) -> list[str]:
    """Says what of a library was not measured."""
    there = {row["model"] for row in rows if row["library"] == library}
    names = [name for name in LIBRARIES[library] if name not in there]
    return [f"Not measured: {', '.join(names)}."] if names and there else []


def speedup(row: Row) -> float:
    """How many times fewer MACs the small model takes."""
    return row["macs"] / row["macs_small"]


def seconds(row: Row) -> float:
    """Analysis and shrink; almost all of it is Keras making the layers of the small model."""
    return row["seconds"]["analyse"] + row["seconds"]["shrink"]


def worst_counts(row: Row) -> tuple[float, ...]:
    """By how much MACs and parameters are off, of the dense and the small model."""
    return tuple(map(max, zip(*(row["miscounted"] or [(0.0, 0.0)]), strict=True)))


def write(path: Path, text: str) -> None:
    """Puts the text between the page's two markers."""
    before, start, rest = path.read_text().partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise SystemExit(f"{path} needs the lines {START} and {END}, between which the table goes.")
    with atomic_path(path) as temporary:
        temporary.write_text(f"{before}{start}\n\n{text}\n\n{end}{after}")
