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
# The tables: what computed their networks, and the library and the backend of that.
TABLES: dict[str, dict[str, tuple[str, str]]] = {
    "keras.applications": {
        "tf_keras": ("tf_keras", "tensorflow"),
        "Keras 3": ("keras", "tensorflow"),
        "on JAX": ("keras", "jax"),
    },
    "KerasHub": {"Keras 3": ("keras_hub", "tensorflow"), "on JAX": ("keras_hub", "jax")},
    "KerasCV": {"tf_keras": ("keras_cv", "tensorflow")},
}


def page(rows: Iterable[Row]) -> str:
    """The results as Markdown."""
    rows = list(rows)
    parts = []
    for title, frameworks in TABLES.items():
        found = {
            framework: {row["model"]: row for row in rows if _of(row) == of}
            for framework, of in frameworks.items()
        }
        known = [name for library, _ in frameworks.values() for name in LIBRARIES[library]]
        names = [name for name in dict.fromkeys(known) if any(name in of for of in found.values())]
        if not names:
            continue
        parts += [f"## {title}", _table([_line(name, found) for name in names])]
        parts += [_summary(framework, list(of.values())) for framework, of in found.items() if of]
        for framework, (library, backend) in frameworks.items():
            missing = [name for name in LIBRARIES[library] if name not in found[framework]]
            if missing and found[framework] and backend == "tensorflow":
                parts.append(f"Not measured: {', '.join(missing)}.")
    return "\n\n".join(parts)


def _of(row: Row) -> tuple[str, str]:
    return row["library"], row["backend"]


def _line(name: str, found: dict[str, dict[str, Row]]) -> dict[str, str]:
    """What is measured of a network: once what is equal, apart what each framework computes."""
    rows = {framework: of[name] for framework, of in found.items() if name in of}
    networks = list(map(_network, rows.values()))
    cells = {
        title: " / ".join(dict.fromkeys(network[title] for network in networks if network[title]))
        for title in networks[0]
    }
    for title in ("difference", "float32", "seconds"):
        for framework in found:
            row = rows.get(framework)
            cells[f"{title}, {framework}"] = "" if row is None else _measured(row)[title]
    return cells


def _network(row: Row) -> dict[str, str]:
    return {
        "model": row["model"],
        "MACs": f"{row['macs'] / 1e6:,.1f} M",
        "small": f"{row['macs_small'] / 1e6:,.1f} M",
        "speedup": f"{speedup(row):.2f}x",
        "params": f"{row['params'] / 1e6:,.2f} M",
        "left": f"{row['params_small'] / 1e6:,.2f} M",
        "frozen": f"{row['frozen']:.0%}",
        "because": ", ".join(row["reasons"]),
        "counts off": f"{max(worst_counts(row)):.2%}" if row["miscounted"] else "",
    }


def _measured(row: Row) -> dict[str, str]:
    return {
        "difference": f"{row['difference']:.0e}",
        "float32": f"{row['difference32']:.0e}",
        "seconds": f"{seconds(row):.1f}",
    }


def _table(lines: list[dict[str, str]]) -> str:
    titles = list(lines[0])
    rule = ["---" if title in ("model", "because") else "---:" for title in titles]
    cells = [titles, rule, *(list(line.values()) for line in lines)]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def _summary(framework: str, rows: list[Row]) -> str:
    text = (
        f"{framework}: {len(rows)} networks; largest relative difference "
        f"{max(row['difference'] for row in rows):.0e}; median speedup in MACs "
        f"{np.median([speedup(row) for row in rows]):.2f}x"
    )
    if len(rows) > 2:
        layers = np.log([row["layers"] for row in rows])
        exponent = np.polyfit(layers, np.log([seconds(row) for row in rows]), 1)[0]
        text += f"; seconds grow with the number of layers to the power {exponent:.2f}"
    return f"{text}."


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
