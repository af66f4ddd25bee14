"""An unfinished stage of a model, such as pruning: what it is, and what must come first."""

from __future__ import annotations

from typing import Any, NamedTuple

AWARE = "wrapped for quantization-aware training"
PRUNED = "pruned already"


class Stage(NamedTuple):
    """An unfinished stage of a model.

    Attributes:
        state: What the model is, as words after "is".
        layer: The name of a layer with that wrapper.
        remedy: What to do.
    """

    state: str
    layer: str
    remedy: str

    @property
    def quantized(self) -> bool:
        """Whether tfmot has wrapped the model for quantization."""
        return self.state == AWARE


def require_none(model: Any, stage: Stage | None, argument: str = "model") -> None:
    """Raises ValueError, with the remedy, if a model is in an unfinished stage."""
    if stage is not None:
        state, layer, remedy = stage
        raise ValueError(f"`{argument}` {model.name!r} is {state} (layer {layer!r}): {remedy}.")
