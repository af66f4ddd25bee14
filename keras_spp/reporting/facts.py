"""What a report is made from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from keras_spp.devices.benchmark import BenchmarkReport
from keras_spp.export.metadata import read_metadata
from keras_spp.export.parity import ParityReport
from keras_spp.reporting.agreement import Agreement
from keras_spp.reporting.comparison import Comparison
from keras_spp.reporting.costs import Tradeoff
from keras_spp.reporting.history import History


@dataclass(frozen=True)
class File:
    """A TFLite file.

    Attributes:
        name: What it was called when it was given: "dense" for the dense model's.
        path: Where it is.
        bytes: Its size.
        quantization: How it stores weights; empty if another program wrote it.
        columns: Convolutions with pruned columns, as `spp.read_metadata` gives them.
    """

    name: str
    path: Path
    bytes: int
    quantization: str
    columns: dict[str, list]

    @property
    def is_dense(self) -> bool:
        """Whether it was made from the dense model."""
        return self.name == "dense"


def file(name: str, path: Path) -> File:
    """Looks at a file.

    Raises:
        OSError: If it cannot be read.
    """
    size = path.stat().st_size
    try:
        known = read_metadata(path)
    except ValueError:  # of another program
        known = {}
    return File(name, path, size, known.get("quantization", ""), known.get("columns") or {})


@dataclass(frozen=True)
class Facts:
    """What is known of two models.

    Attributes:
        title: The report's title.
        comparison: The two models.
        files: Their TFLite files.
        times: What was timed.
        history: How the small one was trained; None if that is not known.
        agreement: How the models compare on samples; None without samples.
        parity: How files compare with their models.
        tradeoff: What other speedups would cost; None if that is not known.
    """

    title: str
    comparison: Comparison
    files: tuple[File, ...] = ()
    times: tuple[BenchmarkReport, ...] = ()
    history: History | None = None
    agreement: Agreement | None = None
    parity: tuple[ParityReport, ...] = ()
    tradeoff: Tradeoff | None = None
