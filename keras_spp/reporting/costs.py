"""What speedups cost and gain: the rows that `spp.tradeoff` returns."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from keras_spp.devices.benchmark import place_of
from keras_spp.reporting import numbers
from keras_spp.util.report import Columns, Rows


@dataclass(frozen=True)
class TradeoffRow:
    """A model at one speedup; the first row is the model as it is.

    Attributes:
        target: The speedup in MACs that was asked for.
        macs_speedup: The one that was met.
        params: Parameters.
        right: The share of labels that are the top-1 of the first output that decides between
            classes; None without labels.
        agreement: The share of samples on which that output decides as the model's does; None if
            none decides.
        lost: The mean squared change of the first output, relative to its variance.
        median_ms: The latency of its TFLite file; None if nothing was timed.
        latency_speedup: The model's latency over this one's; None likewise.
        file_bytes: The size of the file; None likewise.
    """

    target: float
    macs_speedup: float
    params: int
    right: float | None
    agreement: float | None
    lost: float
    median_ms: float | None
    latency_speedup: float | None
    file_bytes: int | None

    @property
    def answer(self) -> float:
        """The share that is right; without labels, that is the same; or that is kept."""
        known = self.agreement if self.right is None else self.right
        return 1 - self.lost if known is None else known


@dataclass(frozen=True)
class Tradeoff(Rows[TradeoffRow]):
    """What `tradeoff` found: a sequence of `TradeoffRow`, the model itself first.

    Attributes:
        model: The model's name.
        samples: How many samples each model was judged on, none of which it was made from.
        device: Where files were timed; None if nothing was.
        system: What is there, as in a `BenchmarkReport`.
        quantization: How the files are stored.
        entries: The rows, without the speedups in `unreachable`.
        unreachable: Speedups that cannot be met, and why.
    """

    model: str
    samples: int
    device: str | None
    system: str
    quantization: str
    entries: tuple[TradeoffRow, ...]
    unreachable: dict[float, str]

    @property
    def measure(self) -> str:
        """What `TradeoffRow.answer` is the share of."""
        first = self.entries[0]
        if first.right is not None:
            return "right"
        return "variance kept" if first.agreement is None else "the same answer"

    @property
    def chance(self) -> float:
        """How far a share of so many samples may be off by chance (one standard deviation)."""
        worst = min(self.entries, key=lambda row: abs(row.answer - 0.5)).answer
        return math.sqrt(max(0.0, worst * (1 - worst)) / self.samples)

    def to_dict(self) -> dict[str, Any]:
        """Returns plain Python values, ready for JSON."""
        return {
            "model": self.model,
            "samples": self.samples,
            "device": self.device,
            "system": self.system,
            "quantization": self.quantization,
            "rows": self.rows,
            "unreachable": {str(speedup): why for speedup, why in self.unreachable.items()},
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Tradeoff:
        """Returns the report that `to_dict` was called of."""
        known = {key: value for key, value in content.items() if key != "rows"}
        known["unreachable"] = {float(x): why for x, why in content["unreachable"].items()}
        return cls(**known, entries=tuple(TradeoffRow(**row) for row in content["rows"]))

    def note(self) -> str:
        """Returns what the numbers rest on, in sentences."""
        said = "Pruned without training by spp.compress; training loses less. "
        said += f"Judged on {self.samples:,} samples that were not used"
        if self.measure != "variance kept":
            said += f": by chance a share may be {100 * self.chance:.1f} points off"
        said += "."
        if self.device is not None:
            where = place_of(self.device, self.system)
            said += f" Timed on {where}, weights {self.quantization.replace('none', 'float32')}."
        for speedup, why in self.unreachable.items():
            said += f" {speedup:g}x: {why.rstrip('.')}."
        return said

    def titles(self) -> list[str]:
        """Returns the titles of the columns of `cells`."""
        timed = ["ms", "faster", "file"] if self.device is not None else []
        return ["target", "fewer MACs", "parameters", self.measure, *timed]

    def cells(self) -> list[list[str]]:
        """Returns the rows as words."""
        return [self._cells(place, row) for place, row in enumerate(self.entries)]

    def _cells(self, place: int, row: TradeoffRow) -> list[str]:
        target = f"{row.target:g}x" if place else "as it is"
        cells = [target, f"{row.macs_speedup:.2f}x", numbers.short(row.params)]
        cells.append(numbers.share(row.answer))
        if row.median_ms is None or row.latency_speedup is None or row.file_bytes is None:
            return cells
        timed = f"{row.median_ms:.3g}", f"{row.latency_speedup:.2f}x", numbers.size(row.file_bytes)
        return [*cells, *timed]

    def __rich__(self) -> Table:
        table = Columns(self.model, self.note())
        table.numbers(*self.titles())
        for cells in self.cells():
            table.row(*cells)
        return table
