"""Fills the pages of docs/ with what `python -m benchmarks.accuracy` measured: tables, plots.

    python -m benchmarks.accuracy.results docs/measured/results.md docs/measured/defaults.md \\
        docs/measured/schedule.md

A page names a file of results in a comment, `<!-- results: results/resnet20.jsonl -->`, and what
stands between that and the next `<!-- end -->` is made anew from the file. Differences between
methods are those of runs with the same seed: mean, and in brackets the least and the largest.
"""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd

from benchmarks.accuracy.runs import read
from keras_spp.util.files import atomic_path

matplotlib.use("Agg")
from matplotlib import pyplot as plt

PLACE = re.compile(r"<!-- results: (\S+) -->.*?<!-- end -->", re.DOTALL)
SETTING = [
    "model",
    "dataset",
    "train_split",
    "test_split",
    "epochs",
    "learning_rate",
    "batch_size",
    "augmentation",
    "input",
    "precision",
]
DEFAULTS = {
    "train_split": "train",
    "test_split": "test",
    "augmentation": "flip",
    "input": "imagenet",
    "precision": "float32",
    "round_to": 1,
}
DENSE = "dense, same training"
# What one would do without this library: the lowest norms of every layer, at once.
REFERENCE = "one_shot(allocation='uniform')"


def fill(page: Path) -> None:
    """Makes every part of a page anew that names a file of results."""
    text, found = PLACE.subn(
        lambda match: f"<!-- results: {match[1]} -->\n{part(page.parent, match[1])}<!-- end -->",
        page.read_text(),
    )
    if not found:
        raise SystemExit(f"{page} names no file of results in a comment <!-- results: FILE -->.")
    with atomic_path(page) as temporary:
        temporary.write_text(text)


def part(folder: Path, name: str) -> str:
    """All settings in a file of results as Markdown."""
    path = folder / name
    lines = read(path)
    if not lines:
        raise SystemExit(f"{path} holds no results.")
    runs = pd.DataFrame(
        [
            {
                "silent": np.nan,  # in rows made before it was counted
                **line["run"],
                **without(line, "run", "history"),
                "first": after_one_epoch(line),
            }
            for line in lines
        ]
    )
    dense = runs["method"] == "dense"
    text = ""
    for number, (values, group) in enumerate(runs.groupby(SETTING, sort=False)):
        setting = dict(zip(SETTING, values, strict=True))
        image = path.with_name(f"{path.stem}-{number}.png")
        rounded = group.loc[~dense, "round_to"].dropna().unique()
        setting["round_to"] = int(rounded[0]) if len(rounded) else 1
        text += section(setting, group, path)
        if draw(group, image):
            text += f"![top-1 of the methods]({image.relative_to(folder)})\n\n"
    return text


def without(line: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name not in names}


def after_one_epoch(line: dict[str, Any]) -> float:
    """Top-1 of the model as `fit` evaluates it then: while it is pruned, maybe."""
    return line["history"]["val_accuracy"][0] if line["run"]["epochs"] > 1 else np.nan


def section(setting: dict[str, Any], runs: pd.DataFrame, path: Path) -> str:
    """One setting: its command and its table."""
    epochs, dates = setting["epochs"], sorted(runs["date"].unique())
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    return (
        f"**{setting['model']} on {setting['dataset']}, {epochs} epochs in all, batch "
        f"{setting['batch_size']}, SGD {setting['learning_rate']:g} falling to 0 along a cosine** "
        f"({when})\n\n```sh\n{command(setting, runs, path)}\n```\n\n{table(runs)}\n"
    )


def command(setting: dict[str, Any], runs: pd.DataFrame, path: Path) -> str:
    """What makes these runs."""

    def values(name: str) -> str:
        found = runs[name].dropna().unique()
        return " ".join(quoted(f"{v:g}" if name == "speedup" else str(v)) for v in found)

    words = [
        f"python -m benchmarks.accuracy --dataset {setting['dataset']} --data-dir DIR "
        f"--model {setting['model']}",
        f"--epochs {setting['epochs']} --learning-rate {setting['learning_rate']:g} "
        f"--batch-size {setting['batch_size']}",
    ]
    changed = [
        f"--{name.replace('_', '-')} {shlex.quote(str(setting[name]))}"
        for name, default in DEFAULTS.items()
        if setting[name] != default
    ]
    words += [" ".join(changed)] if changed else []
    if runs["speedup"].notna().any():
        words.append(f"--granularity {values('granularity')} --speedup {values('speedup')}")
    words.append(f"--seed {values('seed')} --method {values('method')}")
    words.append(f"--results docs/measured/{path.parent.name}/{path.name}")
    return " \\\n    ".join(words)


def quoted(word: str) -> str:
    """A word for the shell, readable where it holds single quotes only."""
    if "'" in word and not set(word) & set('"$`\\!'):
        return f'"{word}"'
    return shlex.quote(word)


def table(runs: pd.DataFrame) -> str:
    """One row for each granularity, speedup and method."""
    head = [
        "pruned",
        "method",
        "after one epoch",
        "top-1, %",
        "MACs",
        "points beside dense",
        "beside uniform one-shot",
        "silent channels",
    ]
    rows = []
    unpruned = runs[runs["method"] == "dense"].set_index("seed")
    dense = unpruned["top1"]
    if len(dense):
        first, silent = percent(unpruned["first"]), counts(unpruned["silent"])
        rows.append(["", DENSE, first, percent(dense), "1", "", "", silent])
    for (granularity, speedup), group in runs.dropna(subset="speedup").groupby(
        ["granularity", "speedup"]
    ):
        by_method = {
            method: part.set_index("seed") for method, part in group.groupby("method", sort=False)
        }
        reference = by_method.get(REFERENCE, group[:0].set_index("seed"))
        for method, part in by_method.items():
            macs = f"{part['macs_speedup'].mean():.2f}x"
            if not part["finished"].all():
                macs += " (unfinished)"
            rows.append(
                [
                    f"{granularity} {speedup:g}x",
                    f"`{method}`",
                    percent(part["first"]),
                    percent(part["top1"]),
                    macs,
                    points(part["top1"], dense),
                    "" if part is reference else points(part["top1"], reference["top1"]),
                    counts(part["silent"]),
                ]
            )
    lines = [head, ["---", "---", *["---:"] * 6], *rows]
    if not runs["silent"].any():
        lines = [line[:-1] for line in lines]
    return "".join(f"| {' | '.join(row)} |\n" for row in lines)


def percent(values: pd.Series) -> str:
    """Mean, and what the seeds span."""
    if values.isna().all():
        return ""
    text = f"{100 * values.mean():.2f}"
    if len(values) > 1:
        text += f" ({100 * values.min():.2f} to {100 * values.max():.2f})"
    return text


def counts(values: pd.Series) -> str:
    """Of each seed; nothing where they were not counted."""
    return ", ".join(str(int(value)) for value in values.dropna())


def points(values: pd.Series, others: pd.Series) -> str:
    """Differences, seed by seed."""
    both = 100 * (values - others).dropna()
    if both.empty:
        return ""
    text = f"{both.mean():+.2f}"
    return f"{text} ({both.min():+.2f} to {both.max():+.2f})" if len(both) > 1 else text


def draw(runs: pd.DataFrame, path: Path) -> bool:
    """Top-1 against the speedup, or by method at one; whether there is anything to see."""
    pruned = runs.dropna(subset="speedup")
    if len(pruned.drop_duplicates(["granularity", "method", "speedup"])) < 2:
        return False
    kinds = list(pruned.groupby("granularity", sort=False))
    size = (9, sum(2 + 0.25 * part["method"].nunique() for _, part in kinds))
    figure, axes = plt.subplots(len(kinds), 1, figsize=size, layout="constrained")
    dense = 100 * runs.loc[runs["method"] == "dense", "top1"].mean()
    for (kind, part), axis in zip(kinds, np.atleast_1d(axes), strict=True):
        (draw_curves if part["speedup"].nunique() > 1 else draw_dots)(axis, kind, part, dense)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return True


def draw_curves(axis: plt.Axes, kind: str, runs: pd.DataFrame, dense: float) -> None:
    """A line for each method through the speedups that it reached."""
    for method, part in runs.groupby("method", sort=False):
        values = 100 * part.groupby("macs_speedup")["top1"].agg(["mean", "min", "max"])
        spread = [values["mean"] - values["min"], values["max"] - values["mean"]]
        axis.errorbar(values.index, values["mean"], spread, marker="o", label=method)
    if np.isfinite(dense):
        axis.axhline(dense, color="gray", linestyle="--", label=DENSE)
    axis.set(title=kind, xlabel="dense MACs / remaining MACs", ylabel="top-1, %")
    axis.legend(fontsize="small")


def draw_dots(axis: plt.Axes, kind: str, runs: pd.DataFrame, dense: float) -> None:
    """A row for each method with a dot for each seed."""
    axis.plot(100 * runs["top1"], runs["method"], "o")
    axis.invert_yaxis()
    axis.tick_params(axis="y", labelsize="small")
    axis.grid(axis="y", alpha=0.3)
    if np.isfinite(dense):
        axis.axvline(dense, color="gray", linestyle="--", label=DENSE)
        axis.legend(fontsize="small")
    axis.set(title=f"{kind} {runs['speedup'].iloc[0]:g}x", xlabel="top-1, %")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("page", nargs="+", type=Path)
    for page in parser.parse_args().page:
        fill(page)


if __name__ == "__main__":
    main()
