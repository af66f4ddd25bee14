"""`spp.analyze`: what a model is made of, what of it can be pruned, and why the rest cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.table import Table

from keras_spp import frameworks
from keras_spp.core.channels import Reason, Sizes
from keras_spp.core.cost import kernel_macs
from keras_spp.core.coupling import Coupling
from keras_spp.util.report import Columns, Rows


@dataclass(frozen=True)
class AnalysisRow:
    """One layer.

    Attributes:
        layer: Its name.
        type: Its class.
        channels: Channels it makes, or carries if it makes none; None if they are not known.
        groups: How many independent groups of these channels can be pruned.
        macs: Multiply-accumulates per sample.
        params: Parameters.
        prunable: Whether any of its channels can be pruned.
        reason: Why some or all cannot; None if all can, or if it has no channels of its own.
    """

    layer: str
    type: str
    channels: int | None
    groups: int
    macs: int
    params: int
    prunable: bool
    reason: str | None


@dataclass(frozen=True)
class Analysis(Rows[AnalysisRow]):
    """What `analyze` found: a sequence of `AnalysisRow` in the order of the layers' calls.

    Attributes:
        model: The model's name.
        entries: The layers.
        fixed_size: Whether the input size is fixed; if not, MACs count one position per open
            dimension and compare only layers at one resolution.
    """

    model: str
    entries: tuple[AnalysisRow, ...]
    fixed_size: bool

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the whole model per sample."""
        return sum(row.macs for row in self.entries)

    @property
    def params(self) -> int:
        """Parameters of the whole model."""
        return sum(row.params for row in self.entries)

    def to_dict(self) -> dict[str, Any]:
        """Returns plain Python values, ready for JSON."""
        totals = {"macs": self.macs, "params": self.params, "fixed_size": self.fixed_size}
        return {"model": self.model, **totals, "rows": self.rows}

    def __rich__(self) -> Table:
        note = "" if self.fixed_size else " (input size open: MACs per position)"
        table = Columns(f"{self.model}{note}", footer=True)
        table.words("layer", footer="total")
        table.words("type")
        table.numbers("channels", "groups")
        table.numbers("MACs", footer=f"{self.macs:,}")
        table.numbers("params", footer=f"{self.params:,}")
        table.words("prunable")
        for row in self.entries:
            table.row(
                row.layer,
                row.type,
                "?" if row.channels is None else str(row.channels),
                str(row.groups),
                f"{row.macs:,}",
                f"{row.params:,}",
                ("yes" if row.prunable else "no") + (f": {row.reason}" if row.reason else ""),
            )
        return table


def analyze(
    model: Any,
    policy: Any = None,
    *,
    input_shape: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
) -> Analysis:
    """Lists layers, their channels, groups, MACs and parameters, and what stops pruning.

    Layers without parameters, and functions, appear only if they stop or cost something.

    Args:
        model: A built functional or Sequential model of tf_keras or Keras 3, pruned or not.
        policy: A tfmot `PruningPolicy`, as for `spp.prune`.
        input_shape: The input's sizes without the batch at which MACs are counted, for a model
            that leaves some of them open (None); a dict from input name to sizes for a model
            with several inputs.

    Returns:
        The analysis; print it, or take its `rows`.

    Raises:
        TypeError: If `model` is no model of either Keras.
        ValueError: If it is subclassed or not built, or `input_shape` does not fit it.

    Example:
        >>> import tf_keras as keras
        >>> model = keras.Sequential([
        ...     keras.Input((4,)), keras.layers.Dense(32, name="a"),
        ...     keras.layers.Dense(2, name="b")])
        >>> [(row.layer, row.macs, row.reason) for row in analyze(model)]
        [('a', 128, None), ('b', 64, 'model output')]
    """
    adapter = frameworks.of(model)
    sizes = adapter.input_sizes(model, input_shape)
    analysis = analyze_at(sizes, model, policy)
    if input_shape is not None and not analysis.fixed_size:
        adapter.check_taken(model, sizes)
    return analysis


def analyze_at(sizes: Sequence[Sizes] | None, model: Any, policy: Any = None) -> Analysis:
    """Analyzes at sizes of each input without the batch; None for those that it declares."""
    adapter = frameworks.of(model)
    model = adapter.opened(model)
    coupling = adapter.label(model, policy, to_prune=True, sizes=sizes)
    record, entries = coupling.channels, []
    stopped = record.causes()
    for layer in map(adapter.unwrap, adapter.operations(model)):
        params = layer.count_params() if getattr(layer, "weights", None) else 0
        if params or layer.name in stopped or record.measured.get(id(layer)):
            entries.append(_row(coupling, layer, params, stopped.get(layer.name)))
    return Analysis(model.name, tuple(entries), not record.unknown_size)


def _row(coupling: Coupling, layer: Any, params: int, stopped: Reason | None) -> AnalysisRow:
    record = coupling.channels
    axes = [axis for axis in record.axes.values() if axis.layer is layer]
    own = next((axis for axis in axes if axis.role == "writes"), None)
    own = own or next((axis for axis in axes if axis.role == "follows"), None)
    kernels = [kernel for kernel in record.kernels.values() if kernel.layer is layer]
    macs = sum(kernel_macs(coupling, kernel) for kernel in kernels)
    macs += record.measured.get(id(layer), 0)
    if own is None:
        reason = _text(coupling, stopped, layer.name, layer) if stopped else None
        return AnalysisRow(layer.name, type(layer).__name__, None, 0, macs, params, False, reason)
    classes = np.unique(coupling.of(own))
    prunable = classes[coupling.prunable[classes]]
    reasons = sorted({_reason(coupling, int(index), layer) for index in classes} - {""})
    return AnalysisRow(
        layer.name,
        type(layer).__name__,
        len(own.labels),
        len(prunable),
        macs,
        params,
        bool(len(prunable)),
        "; ".join(reasons) or None,
    )


def _reason(coupling: Coupling, index: int, layer: Any) -> str:
    if index not in coupling.reasons:
        return ""
    return _text(coupling, *coupling.reasons[index], layer)


def _text(coupling: Coupling, reason: Reason, where: str, layer: Any) -> str:
    """Returns the reason, the layer to blame if it is another, and what its rule has raised."""
    details = [where] if where and where != layer.name else []
    if reason is Reason.FAILED:
        details.append(coupling.channels.failures[where])
    return f"{reason} ({': '.join(details)})" if details else str(reason)
