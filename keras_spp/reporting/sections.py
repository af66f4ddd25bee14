"""The sections of a report: what each shows, as charts and tables that its template lays out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from keras_spp.devices.benchmark import BenchmarkReport, place_of
from keras_spp.export.columns import DENSE
from keras_spp.export.parity import ParityReport
from keras_spp.reporting import charts, numbers
from keras_spp.reporting.agreement import Agreement
from keras_spp.reporting.comparison import Comparison, LayerChange
from keras_spp.reporting.costs import Tradeoff
from keras_spp.reporting.facts import File
from keras_spp.reporting.history import History

SHOWN = 40  # layers of one chart


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        titles: Of its columns.
        rows: Its cells.
        words: Which columns hold words; the others hold numbers.
    """

    titles: Sequence[str]
    rows: list[Sequence[Any]] = field(default_factory=list)
    words: tuple[int, ...] = (0,)

    def numbers(self, column: int) -> bool:
        """Tells whether a column holds numbers."""
        return column not in self.words


# -- layers ----------------------------------------------------------------------------------------


def layers(comparison: Comparison, columns: bool = False) -> dict[str, Any]:
    """Returns the charts of the layers, those that do most work first, and the table of all."""
    rows = [row for row in comparison.layers if row.computes]
    shown = sorted(range(len(rows)), key=lambda place: -rows[place].macs[0])[:SHOWN]
    parts = [_part([rows[place] for place in sorted(shown)], "most", "")]
    if len(rows) > SHOWN:
        for start in range(0, len(rows), SHOWN):
            some = rows[start : start + SHOWN]
            summary = f"Layers {start + 1} to {start + len(some)} of {len(rows)}, in their order"
            parts.append(_part(some, f"from{start}", summary))
    note = "Layers with kernels, in the order of their calls."
    if len(rows) > SHOWN:
        note = (
            f"The {SHOWN} layers with the most MACs of {len(rows)} with kernels, in the order of "
            f"their calls; all of them follow, folded."
        )
    if not comparison.dense.fixed_size:
        note += " The input size is open: MACs count one position, and compare layers alone."
    note += " Pruned columns are zeros in the model, and count." if columns else ""
    return {"parts": parts, "note": note, "table": _layer_table(comparison.layers)}


def _part(rows: Sequence[LayerChange], name: str, summary: str) -> dict[str, str]:
    return {
        "summary": summary,
        "wide": charts.layers_wide(rows, f"{name}-wide"),
        "channels": charts.layers_narrow(rows, charts.CHANNELS, f"{name}-channels"),
        "macs": charts.layers_narrow(rows, charts.MACS, f"{name}-macs"),
        "weights": charts.layers_narrow(rows, charts.WEIGHTS, f"{name}-weights"),
    }


def _layer_table(rows: Sequence[LayerChange]) -> Table:
    titles = ("layer", "type", "channels", "MACs before", "after", "parameters before", "after")
    table = Table((*titles, "what stopped pruning"), words=(0, 1, 7))
    for row in rows:
        before, after = row.channels
        channels = "?" if before is None else f"{before:,}"
        if before != after and after is not None:
            channels += f" → {after:,}"
        counts = (f"{count:,}" for pair in (row.macs, row.params) for count in pair)
        table.rows.append((row.layer, row.type, channels, *counts, row.reason or ""))
    return table


def reasons(rows: Sequence[LayerChange]) -> Table:
    """Returns the reasons why layers could not be pruned, and what hangs on each."""
    table = Table(("reason", "layers", "of dense MACs", "which"), words=(0, 3))
    total = sum(row.macs[0] for row in rows) or 1
    found: dict[str, list[LayerChange]] = {}
    for row in rows:
        if row.reason and not row.prunable:
            found.setdefault(row.reason, []).append(row)
    for reason, stopped in sorted(found.items(), key=lambda item: -_macs(item[1])):
        names = [row.layer for row in stopped[:6]]
        if len(stopped) > len(names):
            names.append(f"and {len(stopped) - len(names)} more")
        share = numbers.share(_macs(stopped) / total)
        table.rows.append((reason, len(stopped), share, ", ".join(names)))
    return table


def _macs(rows: Sequence[LayerChange]) -> int:
    return sum(row.macs[0] for row in rows)


# -- time and files --------------------------------------------------------------------------------


def time(report: BenchmarkReport, place: int) -> dict[str, Any]:
    """Returns a measurement as a chart and a table."""
    threads, where = report[0].threads, place_of(report.device, report.system)
    titles = ("file", "median ms", "90 %", "95 %", "least", "speedup", "operations", "delegated")
    table = Table((*titles, "runs"))
    for row in report:
        ms = (row.median_ms, row.p90_ms, row.p95_ms, row.min_ms)
        known = ("?" if value is None else f"{value:.3f}" for value in ms)
        delegated = "?" if row.delegated_nodes is None else row.delegated_nodes
        counts = (f"{row.ratio:.2f}x", row.nodes, delegated, row.runs)
        table.rows.append((row.name, *known, *counts))
    return {
        "where": f"{where}, {threads} thread{'s' if threads > 1 else ''}",
        "chart": charts.latency(report, f"latency{place}"),
        "table": table,
    }


def files(given: Sequence[File]) -> Table:
    """Returns the files and their sizes."""
    table = Table(("of", "file", "weights", "bytes", "of dense"), words=(0, 1, 2))
    dense = next((file.bytes for file in given if file.is_dense), None)
    for file in given:
        ratio = "" if dense is None else numbers.share(file.bytes / dense)
        kind = {"none": "float32"}.get(file.quantization, file.quantization or "?")
        table.rows.append((file.name, file.path.name, kind, f"{file.bytes:,}", ratio))
    return table


def columns(given: Sequence[File]) -> Table:
    """Returns what is left of convolutions whose columns were pruned."""
    table = Table(("file", "layer", "columns left", "computed"), words=(0, 1, 3))
    for file in given:
        for layer, (left, total, layout) in file.columns.items():
            computed = "with the zeros" if layout == DENSE else "without them"
            table.rows.append((file.name, layer, f"{left:,} of {total:,}", computed))
    return table


# -- answers ---------------------------------------------------------------------------------------


def answers(agreement: Agreement) -> dict[str, Any]:
    """Returns how the two models answer."""
    labelled = any(row.dense_top1 is not None for row in agreement.outputs)
    titles = ["output", "same answer", *(["dense right", "small right"] if labelled else [])]
    table = Table([*titles, "variance lost", "mean difference", "largest", "largest value"])
    for row in agreement.outputs:
        shares = [row.agreement, *([row.dense_top1, row.small_top1] if labelled else []), row.lost]
        values = (row.mean_difference, row.max_difference, row.largest)
        cells = (*map(numbers.share, shares), *(f"{value:.3g}" for value in values))
        table.rows.append((row.output, *cells))
    return {"samples": f"{agreement.samples:,} samples", "table": table}


def parity(reports: Sequence[ParityReport]) -> Table:
    """Returns how far files are from the models that they were made from."""
    titles = ("file", "output", "samples", "largest difference", "mean", "largest value")
    table = Table((*titles, "same answer"), words=(0, 1))
    for report in reports:
        for row in report:
            values = (row.max_difference, row.mean_difference, row.largest)
            numbers_ = (f"{value:.3g}" for value in values)
            same = numbers.share(row.top1_agreement)
            table.rows.append((report.path.name, row.output, report.samples, *numbers_, same))
    return table


# -- training --------------------------------------------------------------------------------------


def training(history: History) -> dict[str, Any] | None:
    """Returns the charts of a training; None if there is nothing to draw."""
    drawn = {"probabilities": charts.probabilities(history), "curves": charts.curves(history)}
    return drawn if any(drawn.values()) else None


# -- other speedups --------------------------------------------------------------------------------


def tradeoff(found: Tradeoff) -> dict[str, Any]:
    """Returns what other speedups would cost."""
    table = Table(found.titles(), list(found.cells()))
    return {"note": found.note(), "chart": charts.tradeoff(found), "table": table}
