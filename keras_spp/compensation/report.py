"""What compensation did to each layer, as a report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.table import Table

from keras_spp.util.report import Columns, Rows


@dataclass(frozen=True)
class LayerLoss:
    """What pruning took from a layer's outputs, and what is still lost.

    Attributes:
        layer: The layer's name.
        before: The mean square error of its outputs, before the activation and on the samples that
            were looked at, relative to their variance, with the weights as they were; None if the
            layer was left alone.
        after: The same with the weights that were solved for.
        reason: Why the layer was left alone; None if it was not.
    """

    layer: str
    before: float | None = None
    after: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Compensation(Rows[LayerLoss]):
    """What `spp.compensate` did: a sequence of `LayerLoss` in the order of the layers' calls.

    Attributes:
        model: The model's name.
        samples: How many samples were looked at.
        entries: The layers with kernels.
    """

    model: str
    samples: int
    entries: tuple[LayerLoss, ...]

    def to_dict(self) -> dict[str, Any]:
        """Returns plain Python values, ready for JSON."""
        return {"model": self.model, "samples": self.samples, "rows": self.rows}

    def __rich__(self) -> Table:
        table = Columns(f"{self.model}: {self.samples:,} samples")
        table.words("layer")
        table.numbers("lost before", "lost after")
        table.words("left alone")
        for row in self.entries:
            shares = ["" if value is None else f"{value:.2%}" for value in (row.before, row.after)]
            table.row(row.layer, *shares, row.reason or "")
        return table
