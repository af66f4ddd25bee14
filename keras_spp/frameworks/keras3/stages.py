"""The unfinished stages of a Keras 3 model: pruning is the only one with wrappers."""

from __future__ import annotations

from typing import Any

from keras_spp.frameworks.keras3.graph import layers
from keras_spp.frameworks.keras3.wrapper import PruneSPP
from keras_spp.frameworks.stages import PRUNED, Stage, require_none


def stage(model: Any) -> Stage | None:
    """Returns the unfinished stage of a model; None if none of its layers is a wrapper."""
    for layer in layers(model):
        if isinstance(layer, PruneSPP):
            return Stage(PRUNED, layer.name, "finish it with spp.shrink first")
    return None


def require_unwrapped(model: Any) -> None:
    """Raises ValueError, with the remedy, if a model is in an unfinished stage."""
    require_none(model, stage(model))
