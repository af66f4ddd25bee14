"""What rounding the surviving channels costs in MACs and gains in time, measured on a device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from keras_spp import frameworks
from keras_spp.allocation.uniform import Uniform
from keras_spp.devices import device as latency
from keras_spp.devices.device import Device
from keras_spp.export.elsewhere import kept_open
from keras_spp.export.tflite import export_tflite
from keras_spp.frameworks.interface import Model
from keras_spp.pruning.network import label
from keras_spp.pruning.targets import Speedup
from keras_spp.shrinking.cut import shrunk_to
from keras_spp.util import progress
from keras_spp.util.checks import check_integer
from keras_spp.util.files import temporary_folder
from keras_spp.util.report import Columns, Rows


@dataclass(frozen=True)
class RoundingRow:
    """One multiple of channels.

    Attributes:
        round_to: The survivors of every layer are a multiple of this.
        macs_speedup: Dense MACs over those of the small model. Above the target where no plan in
            these multiples comes close to it: that is what rounding costs.
        latency_speedup: Dense latency over that of the small model, timed beside it.
        realised: Latency speedup over MACs speedup: what arrives of the saved MACs.
    """

    round_to: int
    macs_speedup: float
    latency_speedup: float
    realised: float


@dataclass(frozen=True)
class RoundingReport(Rows[RoundingRow]):
    """What `compare_rounding` measured: a sequence of `RoundingRow`, one for each multiple.

    Attributes:
        device: Where, as it was asked for.
        quantization: How the files were stored.
        entries: The rows, in the order given, without the multiples in `unreachable`.
        unreachable: Multiples in which the target cannot be met, and why.
        system: The processor and the runtime's version, or the phone's model.
    """

    device: str
    quantization: str
    entries: tuple[RoundingRow, ...]
    unreachable: dict[int, str]
    system: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Returns plain Python values, ready for JSON."""
        return {
            "device": self.device,
            "system": self.system,
            "quantization": self.quantization,
            "rows": self.rows,
            "unreachable": {str(multiple): why for multiple, why in self.unreachable.items()},
        }

    def __rich__(self) -> Table:
        where = f"{self.device} ({self.system}), {self.quantization}"
        said = (f"round_to={multiple}: {why}" for multiple, why in self.unreachable.items())
        table = Columns(where, "\n".join(said))
        table.numbers("round_to", "MACs", "latency", "of the MACs'")
        for row in self.entries:
            table.row(
                str(row.round_to),
                f"{row.macs_speedup:.2f}x",
                f"{row.latency_speedup:.2f}x",
                f"{row.realised:.2f}",
            )
        return table


def compare_rounding(
    model: Model,
    target_speedup: float,
    *,
    round_to: Sequence[int] = (1, 4, 8, 16),
    device: str | Device = "local",
    quantization: str = "none",
    representative_data: Any = None,
    input_shape: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
    verbose: int = 1,
) -> RoundingReport:
    """Says which `round_to` suits a model and the device it is for.

    Processors compute a fixed number of channels at once, and an unfinished block costs as much as
    a whole one; how many they are depends on the processor and the numbers' type. For each
    multiple the model is pruned to the same target speedup, by the same ratio in all layers,
    without training (which channels go makes no difference to time), and timed beside the others.

    Args:
        model: A trained or untrained functional or Sequential model of tf_keras or Keras 3.
        target_speedup: Dense MACs over remaining MACs, at least 1.
        round_to: The multiples to compare, at least 1 each; with 1 any number may survive.
        device: A name as for `spp.benchmark`, or an `spp.Device`.
        quantization: As for `spp.export_tflite`.
        representative_data: As for `spp.export_tflite`, for quantizations that need it.
        input_shape: As for `spp.export_tflite`, for a model that leaves sizes open.
        verbose: 0 shows nothing, 1 a progress bar.

    Returns:
        A `RoundingReport`.

    Raises:
        TypeError: As `spp.prune` and `spp.export_tflite` do.
        ValueError: Likewise, or if the target cannot be met in any of the multiples.
        OSError: If the device cannot be reached or lacks something, as for `spp.benchmark`.

    Example:
        >>> import tf_keras as keras, keras_spp as spp
        >>> model = keras.Sequential([
        ...     keras.Input((8, 8, 3)), keras.layers.Conv2D(32, 3), keras.layers.Conv2D(32, 3)])
        >>> report = spp.compare_rounding(model, 1.5, round_to=(1, 16))
        >>> [(row.round_to, round(row.macs_speedup, 2)) for row in report]
        [(1, 1.52), (16, 2.0)]
    """
    where = latency.find(device)
    multiples = list(dict.fromkeys(round_to))
    if not multiples:
        raise ValueError("`round_to` must name at least one multiple but is empty.")
    for multiple in multiples:
        check_integer("round_to", multiple, 1)
    check_integer("verbose", verbose, 0)
    frameworks.of(model)
    target = Speedup(target_speedup)
    target.check("channel")
    network = label(model, input_shape=input_shape)
    groups, plans, unreachable = network.groups, {}, {}
    for multiple in multiples:
        try:
            network.check_prunable(multiple)
            plans[multiple] = target.meet(network, Uniform(whole_blocks=False), None, multiple)
        except ValueError as error:
            unreachable[multiple] = str(error)
    if not plans:
        raise ValueError(next(iter(unreachable.values())))

    total = 2 * (len(plans) + 1)  # files, each of which is made and timed
    with (
        temporary_folder() as folder,
        kept_open(),
        progress.work("compare_rounding", total, verbose) as comparing,
    ):
        files = {"dense": folder / "dense.tflite"}
        files |= {str(multiple): folder / f"{multiple}.tflite" for multiple in plans}

        def export(which: Model, name: str) -> None:
            with comparing.part():
                export_tflite(
                    which,
                    files[name],
                    quantization,
                    input_shape=input_shape,
                    representative_data=representative_data,
                )

        for multiple, goals in plans.items():
            small = shrunk_to(network.model, groups.coupling, groups.dead(goals))
            export(small, str(multiple))
        export(model, "dense")
        with comparing.part(len(files)):
            report = where.time(files)
    rows = []
    for (multiple, goals), timed in zip(plans.items(), report[1:], strict=True):
        gain = groups.dense() / groups.cost(goals)
        rows.append(RoundingRow(multiple, gain, timed.ratio, timed.ratio / gain))
    return RoundingReport(where.name, quantization, tuple(rows), unreachable, report.system)
