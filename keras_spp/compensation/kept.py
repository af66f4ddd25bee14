"""What a small model remembers of the channels that it kept, until it is saved or cloned."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_spp import frameworks
from keras_spp.core.coupling import Coupling

_REMEMBERED = "_keras_spp_kept"


def remember(small: Any, model: Any, coupling: Coupling, dead: np.ndarray) -> None:
    """Lets a small model know which channels of the model it was made from it has kept.

    Args:
        small: The small model.
        model: The one that it was made from, with the same layers in the same order.
        coupling: That one's channels.
        dead: Which of their classes are gone.
    """
    framework = frameworks.of(model)
    axes = coupling.channels.axes
    kept = []
    for layer in map(framework.unwrap, framework.layers(model)):
        kept.append([
            [
                coupling.keep(axes[id(weight), axis].labels, dead)
                if (id(weight), axis) in axes
                else np.ones(size, bool)
                for axis, size in enumerate(weight.shape)
            ]
            for weight in layer.weights
        ])
    vars(small)[_REMEMBERED] = kept  # past Keras, which would track and save it


class Kept:
    """Which positions along the axes of weights are left of an original model.

    Args:
        model: A small model, or one of the original's size.
        original: The original.

    Raises:
        ValueError: If that is not known, or the original is another one.
    """

    def __init__(self, model: Any, original: Any) -> None:
        framework = frameworks.of(model)
        self._by_id: dict[int, list[np.ndarray]] = {}
        layers = [framework.unwrap(layer) for layer in framework.layers(model)]
        originals = list(framework.layers(original))
        known = vars(model).get(_REMEMBERED)
        if known is None:
            known = [
                [[np.ones(size, bool) for size in weight.shape] for weight in layer.weights]
                for layer in originals
            ]
        for layer, other, weights in zip(layers, originals, known, strict=True):
            trios = zip(layer.weights, other.weights, weights, strict=True)
            for weight, of_other, axes in trios:
                before, after = [len(keep) for keep in axes], [keep.sum() for keep in axes]
                if list(of_other.shape) != before or list(weight.shape) != after:
                    raise ValueError(f"layer {layer.name!r}")
                self._by_id[id(weight)] = axes

    def along(self, variable: Any, axis: int) -> np.ndarray:
        """Returns which positions along an axis of a weight of the original are left."""
        return self._by_id[id(variable)][axis]
