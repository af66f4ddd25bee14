"""Draws the three pictures of docs/measured/numbers.md from files of results.

    python -m benchmarks.accuracy.pictures docs/measured/results

Accuracy over MACs, over milliseconds, and what each part of the recipe adds: of ResNet-20, as
`benchmarks.accuracy` (resnet20.jsonl), `.latency` (latency.jsonl) and `.compensation`
(compress.jsonl) have written it there. The pictures are written beside them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib
import pandas as pd

from benchmarks.accuracy.runs import read

matplotlib.use("Agg")
from matplotlib import pyplot as plt

MODEL = "resnet20_cifar10.keras"
GREY, BLUE, ORANGE, GREEN = "#888888", "#1f77b4", "#ff7f0e", "#2ca02c"
PARTS = {  # parts of benchmarks.accuracy.compensation, each with all before it
    "least norms go, nothing else": "the least norms go",
    "statistics of normalisations": "+ statistics re-estimated",
    "least squares": "+ kernels solved for",
    "additions made up for, too": "+ additions made up for",
    "all that is solved for": "+ channels go that others make up for",
    "and all weights fitted together": "+ all weights fitted together",
}
TRAINED = {  # methods of benchmarks.accuracy after three epochs, as the picture names them
    "one_shot(allocation='uniform')": ("the least norms, then 3 epochs", GREY),
    "spp()": ("spp.prune, 3 epochs", GREEN),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    trained, compressed = table(folder / "resnet20.jsonl"), table(folder / "compress.jsonl")
    files = pd.DataFrame(read(folder / "latency.jsonl"))
    for name, draw, rows in (
        ("macs", over_macs, (trained, files)),
        ("latency", over_latency, (files,)),
        ("parts", parts, (trained, compressed)),
    ):
        figure, axis = plt.subplots(figsize=(7, 3.6), layout="constrained")
        draw(axis, *rows)
        axis.spines[["top", "right"]].set_visible(False)
        figure.savefig(folder / f"{name}.png", dpi=130)
        plt.close(figure)


def table(path: Path) -> pd.DataFrame:
    """A row for each run of that network by channels, top-1 in percent."""
    rows = pd.DataFrame([line["run"] | {"top1": 100 * line["top1"]} for line in read(path)])
    return rows[(rows["granularity"] != "column") & (rows["model"] == MODEL)]


def over_macs(axis: plt.Axes, trained: pd.DataFrame, files: pd.DataFrame) -> None:
    """Accuracy over how many times fewer MACs, with and without training."""
    three = trained[trained["epochs"] == 3]
    dense = three.loc[three["method"] == "dense", "top1"].mean()
    axis.axhline(dense, color="black", linestyle="--", linewidth=1)
    axis.annotate("dense, 3 epochs more", (4, dense), ha="right", va="bottom", fontsize="small")
    lines = [(*named, three[three["method"] == method]) for method, named in TRAINED.items()]
    float32 = files[files["quantization"] == "none"].assign(top1=lambda rows: 100 * rows["top1"])
    lines.append(("spp.compress, no training", BLUE, float32))
    for label, color, rows in lines:
        means = rows.groupby("speedup")["top1"].mean()
        axis.plot(rows["speedup"], rows["top1"], "o", color=color, markersize=3)
        axis.plot(means.index, means, color=color, label=label)
    axis.set(xlabel="times fewer MACs", ylabel="top-1, %")
    axis.legend(frameon=False, fontsize="small")


def over_latency(axis: plt.Axes, files: pd.DataFrame) -> None:
    """Accuracy over milliseconds of the files, a line for each kind of numbers."""
    for kind, color in (("none", BLUE), ("int8", ORANGE)):
        rows = files[files["quantization"] == kind].sort_values("speedup")
        label = {"none": "float32"}.get(kind, kind)
        axis.plot(rows["median_ms"], 100 * rows["top1"], "o-", color=color, label=label)
        for row in rows.itertuples():
            what = "dense" if row.speedup == 1 else f"{row.speedup:g}x"
            place = (row.median_ms, 100 * row.top1)
            axis.annotate(what, place, (4, 5), textcoords="offset points", fontsize="small")
    axis.set(xlabel="milliseconds of an image, one thread", ylabel="top-1, %")
    axis.legend(frameon=False, fontsize="small", loc="lower right")


def parts(axis: plt.Axes, trained: pd.DataFrame, compressed: pd.DataFrame) -> None:
    """What each part adds at half of the MACs."""
    half = compressed[(compressed["speedup"] == 2) & (compressed["samples"] == 1024)]
    by_part = half.set_index("part")["top1"]
    bars = [(label, by_part[part], BLUE) for part, label in PARTS.items()]
    whole = half.loc[half["part"].isna(), "top1"].mean()
    bars.append(("+ plans rated by what is kept: spp.compress", whole, BLUE))
    pruned = trained[(trained["speedup"] == 2) & (trained["method"] == "spp()")]
    for epochs, rows in pruned.groupby("epochs"):
        bars.append((f"spp.prune, {epochs} epochs of training", rows["top1"].mean(), GREEN))
    names, values, colors = zip(*bars, strict=True)
    drawn = axis.barh(names, values, color=colors)
    axis.bar_label(drawn, fmt="%.1f", padding=3, fontsize="small")
    axis.invert_yaxis()
    axis.tick_params(axis="y", labelsize="small")
    axis.set(xlabel="top-1 at half of the MACs, %", xlim=(0, 100))


if __name__ == "__main__":
    main()
