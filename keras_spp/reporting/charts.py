"""The charts of a report: each is drawn twice, for a screen and for a phone held upright."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_spp.devices.benchmark import BenchmarkReport
from keras_spp.reporting import numbers
from keras_spp.reporting.comparison import FLOAT_BYTES, LayerChange
from keras_spp.reporting.costs import Tradeoff
from keras_spp.reporting.history import History
from keras_spp.reporting.svg import (
    BANDS,
    FIXED,
    INK,
    KEPT,
    MUTED,
    REMOVED,
    as_svg,
    figure,
)

WIDE, NARROW = 1040, 340
_POINTS = 200  # of a curve
_EDGES = (0.0, 0.05, 0.35, 0.65, 0.95, 1.0)  # of the bands of p
_NAMES = ("p below 0.05: stays", "0.05 to 0.35", "0.35 to 0.65", "0.65 to 0.95", "above: goes")


@dataclass(frozen=True)
class Chart:
    """A chart as elements of a page.

    Attributes:
        wide: For a screen.
        narrow: For a phone.
    """

    wide: str
    narrow: str


def _both(name: str, draw: Callable[[float, str], Any]) -> Chart:
    """Draws a chart in both widths."""
    return Chart(*(draw(width, f"{name}-{width}") for width in (WIDE, NARROW)))


# -- layers ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Quantity:
    """What a bar of a layer shows."""

    title: str
    values: Callable[[LayerChange], tuple[int, int]]
    words: Callable[[LayerChange], str]


def _channels(row: LayerChange) -> tuple[int, int]:
    before, after = row.channels
    return before or 0, (before if after is None else after) or 0


def _channel_words(row: LayerChange) -> str:
    before, after = _channels(row)
    if before != after:
        return f"{before} → {after}"
    if row.prunable or not row.reason:
        return f"{before}"
    return f"{before} · {row.reason.partition(' (')[0]}"  # the table has the layer to blame


def _change(before: str, after: str) -> str:
    return before if before == after else f"{before} → {after}"


CHANNELS = _Quantity("channels", _channels, _channel_words)
MACS = _Quantity(
    "multiply-accumulates (MACs)",
    lambda row: row.macs,
    lambda row: _change(*map(numbers.short, row.macs)),
)
WEIGHTS = _Quantity(
    "bytes of weights",
    lambda row: (row.params[0] * FLOAT_BYTES, row.params[1] * FLOAT_BYTES),
    lambda row: _change(*(numbers.size(count * FLOAT_BYTES) for count in row.params)),
)


def layers_wide(rows: Sequence[LayerChange], name: str) -> str:
    """Draws three bars for each layer side by side: channels, MACs, bytes."""
    height = 19 * len(rows) + 46
    with figure(WIDE, height) as drawn:
        panels = drawn.subplots(1, 3, sharey=True, width_ratios=(1.35, 1, 1))
        for panel, quantity in zip(panels, (CHANNELS, MACS, WEIGHTS), strict=True):
            largest = _bars(panel, rows, quantity, 0.0, 0.66)
            panel.set_title(quantity.title)
            for place, row in enumerate(rows):
                _write(panel, quantity.values(row)[0], place, quantity, row, 34)
            panel.set_xlim(0, largest * (1.75 if quantity is CHANNELS else 1.55))
            panel.set_xticks([])
        panels[0].set_yticks(range(len(rows)), [numbers.middle(row.layer, 30) for row in rows])
        panels[0].tick_params(axis="y", labelcolor=INK)
        panels[0].set_ylim(len(rows) - 0.4, -0.6)
        return as_svg(drawn, name, f"Channels, MACs and bytes of {len(rows)} layers, before, after")


def _write(
    panel: Any, x: float, y: float, quantity: _Quantity, row: LayerChange, most: int
) -> None:
    panel.annotate(
        numbers.beginning(quantity.words(row), most),
        (x, y),
        (5, 0),
        textcoords="offset points",
        va="center",
        color=MUTED,
        fontsize=10.5,
        in_layout=False,  # there is room for it
    )


def layers_narrow(rows: Sequence[LayerChange], quantity: _Quantity, name: str) -> str:
    """Draws one bar for each layer below its name."""
    with figure(NARROW, 33 * len(rows) + 8) as drawn:
        panel = drawn.subplots()
        largest = _bars(panel, rows, quantity, 0.22, 0.3)
        for place, row in enumerate(rows):
            words = numbers.beginning(quantity.words(row), 30)
            room = max(10, 46 - len(words))
            at = {"va": "center", "fontsize": 11, "in_layout": False}
            panel.text(0, place - 0.2, numbers.middle(row.layer, room), color=INK, **at)
            panel.text(largest, place - 0.2, words, ha="right", color=MUTED, **at)
        panel.set_xlim(0, largest)
        panel.set_ylim(len(rows) - 0.5, -0.5)
        panel.axis("off")
        return as_svg(drawn, name, f"{quantity.title} of {len(rows)} layers, before and after")


def _bars(
    panel: Any, rows: Sequence[LayerChange], quantity: _Quantity, lower: float, height: float
) -> float:
    """Draws bars, what has gone behind what is left; returns the length of the longest."""
    places = np.arange(len(rows)) + lower
    before, after = np.array([quantity.values(row) for row in rows], float).reshape(-1, 2).T
    colors = [KEPT if row.prunable else FIXED for row in rows]
    gone = before > after
    panel.barh(places[gone], before[gone], height, color=REMOVED)
    panel.barh(places, after, height, color=colors)
    panel.grid(visible=False)
    panel.spines["bottom"].set_visible(False)
    return max(1.0, float(before.max(initial=0)))


# -- time ------------------------------------------------------------------------------------------


def latency(report: BenchmarkReport, name: str) -> Chart:
    """Draws the median latency of each file, and says what 95 % of the runs stay below."""

    def draw(width: float, name: str) -> str:
        rows = list(report)
        with figure(width, 40 * len(rows) + 24) as drawn:
            panel = drawn.subplots()
            places, medians = range(len(rows)), [row.median_ms for row in rows]
            panel.barh(places, medians, 0.5, color=[FIXED, *[KEPT] * (len(rows) - 1)])
            for place, row in enumerate(rows):
                said = f"{row.median_ms:.3g} ms" + (f", {row.ratio:.2f}x" if place else "")
                beside = {"textcoords": "offset points", "va": "center"}
                lower = 9 if width == NARROW else 0
                panel.annotate(said, (row.median_ms, place), (6, lower / 1.5), color=INK, **beside)
                panel.annotate(
                    f"95 % below {row.p95_ms:.3g}",
                    (row.median_ms, place),
                    (6, -lower) if lower else (18 + 6.5 * len(said), 0),
                    color=MUTED,
                    fontsize=10.5,
                    **beside,
                )
            panel.set_xlim(0, max(medians) * (1.3 if width == WIDE else 1.7))
            panel.set_xticks([])
            panel.grid(visible=False)
            panel.spines["bottom"].set_visible(False)
            panel.set_yticks(places, [numbers.middle(row.name, 22) for row in rows])
            panel.tick_params(axis="y", labelcolor=INK)
            panel.invert_yaxis()
            return as_svg(drawn, name, f"Latency of {', '.join(row.name for row in rows)}")

    return _both(name, draw)


# -- training --------------------------------------------------------------------------------------


def probabilities(history: History) -> Chart | None:
    """Draws what share of the groups has which p, step by step; None if no p is logged."""
    moments = [moment for moment in history.moments if moment.counts.sum()]
    if len(moments) < 2:
        return None
    moments = [moments[place] for place in _thinned(len(moments))]
    counts = np.array([moment.counts for moment in moments])
    shares = counts / counts.sum(1, keepdims=True)
    centres = (np.arange(shares.shape[1]) + 0.5) / shares.shape[1]
    band = np.searchsorted(_EDGES[1:-1], centres, side="right")
    stacked = np.array([shares[:, band == number].sum(1) for number in range(len(BANDS))])
    steps = [moment.step for moment in moments]

    def draw(width: float, name: str) -> str:
        with figure(width, 300) as drawn:
            panel = drawn.subplots()
            panel.stackplot(steps, stacked * 100, colors=BANDS, labels=_NAMES, linewidth=0)
            panel.set(xlabel="training step", ylabel="% of the groups", ylim=(0, 100))
            panel.set_xlim(steps[0], steps[-1])
            panel.set_axisbelow(False)
            panel.grid(visible=False)
            columns = 5 if width == WIDE else 2
            drawn.legend(loc="outside upper left", ncols=columns, handlelength=1)
            return as_svg(drawn, name, "Share of the groups by their probability, step by step")

    return _both("probabilities", draw)


def curves(history: History) -> Chart | None:
    """Draws the metric, and how far the speedup is; None if there is nothing to draw."""
    metric = history.metric
    panels: list[tuple[str, str, list[tuple[str, np.ndarray, np.ndarray]]]] = []
    if metric is not None:
        lines = [
            (words, *history.curve(name))
            for words, name in (("training", metric), ("validation", f"val_{metric}"))
            if name in history.epochs
        ]
        panels.append((f"{metric} by epoch", "epoch", lines))
    x, speedup = history.curve("macs_speedup")
    if len(x):
        along = "training step" if history.moments else "epoch"
        panels.append((f"MACs speedup by {along}", along, [("speedup", x, speedup)]))
    if not panels:
        return None

    def draw(width: float, name: str) -> str:
        rows, columns = (1, len(panels)) if width == WIDE else (len(panels), 1)
        with figure(width, 230 * rows) as drawn:
            axes = drawn.subplots(rows, columns, squeeze=False).ravel()
            for axis, (title, along, lines) in zip(axes, panels, strict=True):
                colors = (FIXED, KEPT)[-len(lines) :]
                for (words, xs, ys), color in zip(lines, colors, strict=True):
                    places = _thinned(len(xs))
                    marker = "o" if along == "epoch" and len(xs) < 40 else None
                    axis.plot(xs[places], ys[places], color=color, label=words, marker=marker)
                axis.set_title(title)
                axis.set_xlabel(along)
                if along == "epoch":
                    axis.xaxis.get_major_locator().set_params(integer=True)
                if len(lines) > 1:
                    axis.legend()
            return as_svg(drawn, name, "; ".join(title for title, _, _ in panels))

    return _both("curves", draw)


def _thinned(count: int) -> np.ndarray:
    """Returns places of at most so many points, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, _POINTS)).round().astype(int))


# -- other speedups --------------------------------------------------------------------------------


def tradeoff(found: Tradeoff) -> Chart:
    """Draws what is right, the same or kept, and the latency, over the speedup in MACs."""
    rows = sorted(found, key=lambda row: row.macs_speedup)
    speedups = [row.macs_speedup for row in rows]
    panels = [(f"{found.measure}, %", [100 * row.answer for row in rows], 100 * found.chance)]
    if found.device is not None:
        panels.append(("milliseconds", [row.median_ms or 0.0 for row in rows], 0.0))

    def draw(width: float, name: str) -> str:
        rows, columns = (1, len(panels)) if width == WIDE else (len(panels), 1)
        with figure(width, 250 * rows) as drawn:
            axes = drawn.subplots(rows, columns, squeeze=False).ravel()
            for axis, (title, values, chance) in zip(axes, panels, strict=True):
                if chance:
                    low, high = (np.array(values) + side * chance for side in (-1, 1))
                    axis.fill_between(speedups, low, high, color=BANDS[1], alpha=0.25, linewidth=0)
                axis.plot(speedups, values, color=KEPT, marker="o")
                for x, y in zip(speedups, values, strict=True):
                    at = {"textcoords": "offset points", "ha": "center", "fontsize": 10.5}
                    axis.annotate(f"{y:.3g}", (x, y), (0, 9), color=INK, **at)
                axis.margins(x=0.06, y=0.22)
                if title == "milliseconds":
                    axis.set_ylim(0, max(values) * 1.2)
                axis.set_title(title)
                axis.set_xlabel("fewer MACs")
                axis.xaxis.set_major_formatter("{x:g}x")
            return as_svg(drawn, name, f"{' and '.join(p[0] for p in panels)} over MACs speedup")

    return _both("tradeoff", draw)
