"""A dense and a small model side by side: layer by layer, and whether they belong together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keras_spp import frameworks
from keras_spp.analysis.analysis import Analysis, AnalysisRow, analyze_at
from keras_spp.frameworks.interface import Model
from keras_spp.frameworks.stages import require_none

FLOAT_BYTES = 4  # of one weight as it was trained, whatever a file stores it as


@dataclass(frozen=True)
class LayerChange:
    """What became of one layer.

    Attributes:
        layer: Its name.
        type: Its class.
        channels: The channels that it makes or carries, before and after; None where unknown.
        macs: Multiply-accumulates per sample, before and after.
        params: Parameters, before and after.
        prunable: Whether any of its channels could be pruned.
        reason: Why some or all could not; None if all could.
    """

    layer: str
    type: str
    channels: tuple[int | None, int | None]
    macs: tuple[int, int]
    params: tuple[int, int]
    prunable: bool
    reason: str | None

    @property
    def removed(self) -> int:
        """Channels that went."""
        before, after = self.channels
        return 0 if before is None or after is None else before - after

    @property
    def computes(self) -> bool:
        """Whether it has a kernel, or makes channels by one: a bar in the charts."""
        return any(self.macs) or (self.type == "Embedding" and self.channels[0] is not None)


@dataclass(frozen=True)
class Comparison:
    """Two models, the second made from the first.

    Attributes:
        dense: What `spp.analyze` says of the first.
        small: The same of the second.
        layers: What became of each layer of the first, in the order of the calls.
    """

    dense: Analysis
    small: Analysis
    layers: tuple[LayerChange, ...]

    @property
    def speedup(self) -> float | None:
        """MACs before over MACs after; None if none are left, or they compare no sizes."""
        return self.dense.macs / self.small.macs if self.small.macs else None

    @property
    def macs(self) -> tuple[int, int]:
        """Multiply-accumulates per sample, before and after."""
        return self.dense.macs, self.small.macs

    @property
    def params(self) -> tuple[int, int]:
        """Parameters, before and after."""
        return self.dense.params, self.small.params


def compare(
    dense: Model,
    small: Model,
    input_shape: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
) -> Comparison:
    """Compares a model with a smaller one that was made from it.

    Args:
        dense: The model.
        small: The smaller one.
        input_shape: As for `spp.analyze`.

    Returns:
        The comparison.

    Raises:
        TypeError: If one of them is no model of either Keras.
        ValueError: If one of them is still being pruned, or they do not belong together.
    """
    for argument, model in (("dense", dense), ("small", small)):
        require_none(model, frameworks.of(model, argument).stage(model), argument)
    _check_ends(dense, small)
    sizes = frameworks.of(dense).input_sizes(dense, input_shape)
    before, after = analyze_at(sizes, dense), analyze_at(sizes, small)
    rows = {row.layer.removeprefix("quant_"): row for row in after}
    _check_layers({row.layer: row for row in before}, rows)
    return Comparison(before, after, tuple(_changes(before, rows)))


def _changes(before: Analysis, after: Mapping[str, AnalysisRow]) -> Iterator[LayerChange]:
    for row in before:
        small = after.get(row.layer)
        yield LayerChange(
            layer=row.layer,
            type=row.type,
            channels=(row.channels, None if small is None else small.channels),
            macs=(row.macs, 0 if small is None else small.macs),
            params=(row.params, 0 if small is None else small.params),
            prunable=row.prunable,
            reason=row.reason,
        )


def _check_ends(dense: Model, small: Model) -> None:
    """Raises ValueError if the models take or give other things."""
    for side in ("inputs", "outputs"):
        before, after = (
            [tuple(tensor.shape)[1:] for tensor in getattr(model, side)] for model in (dense, small)
        )
        if before != after:
            raise ValueError(
                f"`small` must be made from `dense` but its {side} have shape {_listed(after)} "
                f"where those of `dense` have {_listed(before)}: give the model that it was "
                f"made from."
            )


def _check_layers(before: Mapping[str, AnalysisRow], after: Mapping[str, AnalysisRow]) -> None:
    """Raises ValueError if the small model has a layer that pruning cannot have left."""
    for name, row in after.items():
        if not row.params:
            continue
        dense = before.get(name)
        if dense is None:
            raise ValueError(
                f"`small` must be made from `dense` but has a layer {name!r}, which `dense` has "
                f"not: give the model that it was made from."
            )
        if row.params > dense.params or (row.channels or 0) > (dense.channels or 0):
            raise ValueError(
                f"`small` must be made from `dense` but its layer {name!r} is larger than that of "
                f"`dense` ({row.params:,} parameters, not {dense.params:,}): give the model that "
                f"it was made from, and in this order."
            )


def _listed(shapes: Sequence[Any]) -> str:
    return ", ".join(map(str, shapes))
