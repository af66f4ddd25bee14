"""What `spp.compress` did, as a report."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from keras_spp.util.report import Columns, Rows


@dataclass(frozen=True)
class CompressedLayer:
    """One layer that was solved for, or left alone.

    Attributes:
        layer: Its name.
        channels: The channels that it makes, before and after; None if it makes none.
        lost_before: The share of its outputs' variance, before the activation and on the samples
            that were used, that was lost when channels had gone; None if it was left alone.
        lost: The share that is lost still.
        reason: Why it was left alone; None if it was not.
    """

    layer: str
    channels: tuple[int, int] | None
    lost_before: float | None
    lost: float | None
    reason: str | None


@dataclass(frozen=True)
class OutputChange:
    """What became of an output, on samples that were held back.

    Attributes:
        output: Its name.
        lost: Its mean square change relative to its variance.
        agreement: The share of samples (and positions) whose largest entry is at the same place,
            as of a classifier; None for an output of one number.
    """

    output: str
    lost: float
    agreement: float | None


@dataclass(frozen=True)
class Compression(Rows[CompressedLayer]):
    """What `spp.compress` did: a sequence of `CompressedLayer` in the order of the layers' calls.

    Attributes:
        model: The model's name.
        macs: Multiply-accumulates per sample, before and after; None if the input size is open.
        params: Parameters, before and after.
        samples: How many samples were used.
        held_back: How many only told how much the two models agree.
        epochs: How often all weights were fitted to them together at the end; 0 if they were not.
        reason: Why they were not; None if they were, or were not to be.
        seconds: How long all of it took.
        outputs: How much they agree.
        entries: The layers with kernels.
    """

    model: str
    macs: tuple[int, int] | None
    params: tuple[int, int]
    samples: int
    held_back: int
    epochs: int
    reason: str | None
    seconds: float
    outputs: tuple[OutputChange, ...]
    entries: tuple[CompressedLayer, ...]

    @property
    def speedup(self) -> float | None:
        """Multiply-accumulates before over those after; None if the input size is open."""
        return self.macs[0] / self.macs[1] if self.macs and self.macs[1] else None

    def to_dict(self) -> dict[str, Any]:
        """Returns plain Python values, ready for JSON."""
        result = {key: value for key, value in asdict(self).items() if key != "entries"}
        return {**result, "speedup": self.speedup, "rows": self.rows}

    def __rich__(self) -> Table:
        table = Columns(self.model, "\n".join(self._totals()))
        table.words("layer")
        table.numbers("channels", "lost as\npruned", "lost")
        table.words("left alone")
        for row in self.entries:
            channels = "" if row.channels is None else "{} -> {}".format(*row.channels)
            lost = [
                "" if share is None else f"{share:.2%}" for share in (row.lost_before, row.lost)
            ]
            table.row(row.layer, channels, *lost, row.reason or "")
        return table

    def _totals(self) -> list[str]:
        lines = []
        for title, numbers in ("MACs", self.macs), ("parameters", self.params):
            if numbers is not None:
                before, after = numbers
                lines.append(f"{title} {before:,} -> {after:,} ({before / max(after, 1):.2f}x)")
        for output in self.outputs:
            same = "" if output.agreement is None else f", the same class {output.agreement:.1%}"
            lines.append(
                f"{output.output}: {output.lost:.2%} lost{same} (of {self.held_back} held back)"
            )
        if self.reason is not None:
            lines.append(f"weights not fitted together: {self.reason}")
        return [*lines, f"{self.samples:,} samples, {self.seconds:.0f} s"]
