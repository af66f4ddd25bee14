"""The unfinished stages of a model: the wrappers it has, and what must come first.

Wrappers hide the layers in them. tfmot's are recognised by name, wherever in the model they are
and whichever version of a class it is, because tfmot exports none of them.
"""

from __future__ import annotations

from typing import Any

import tf_keras as keras

from keras_spp.frameworks.stages import AWARE, PRUNED, Stage, require_none
from keras_spp.frameworks.tf_keras.graph import layers

_STAGES = {
    "PruneSPP": (
        PRUNED,
        "finish it with spp.shrink or tfmot.sparsity.keras.strip_pruning first",
    ),
    "PruneLowMagnitude": (PRUNED, "finish it with tfmot.sparsity.keras.strip_pruning first"),
    **dict.fromkeys(
        ("QuantizeWrapper", "QuantizeLayer", "QuantizeAnnotate"),
        (AWARE, "prune and shrink the model first, then give the small one to quantize_model"),
    ),
    "ClusterWeights": (
        "wrapped for clustering its weights",
        "finish it with tfmot.clustering.keras.strip_clustering first",
    ),
}


def stage(model: keras.Model) -> Stage | None:
    """Returns the unfinished stage of a model; None if none of its layers is a wrapper.

    Example:
        >>> import keras_spp as spp
        >>> model = keras.Sequential([
        ...     keras.Input((4,)), keras.layers.Dense(32), keras.layers.Dense(2)])
        >>> stage(model)
        >>> stage(spp.prune(model, 0.5)).state
        'pruned already'
    """
    for layer in layers(model):
        if name := next(filter(_STAGES.__contains__, _names(layer)), None):
            state, remedy = _STAGES[name]
            return Stage(state, layer.name, remedy)
    return None


def require_unwrapped(model: keras.Model) -> None:
    """Raises ValueError, with the remedy, if a model is in an unfinished stage."""
    require_none(model, stage(model))


def _names(layer: Any) -> list[str]:
    return [
        kind.__name__
        for kind in type(layer).__mro__
        if kind.__module__.startswith(("tensorflow_model_optimization.", "keras_spp."))
    ]
