"""What a small model remembers of the channels that it kept, until it is saved or cloned."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_spp import frameworks
from keras_spp.compensation.kernels import Kernel
from keras_spp.core.coupling import Coupling
from keras_spp.frameworks.interface import Adapter

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
        kept.append(
            [
                [
                    coupling.keep(axes[id(weight), axis].labels, dead)
                    if (id(weight), axis) in axes
                    else np.ones(size, bool)
                    for axis, size in enumerate(weight.shape)
                ]
                for weight in layer.weights
            ]
        )
    vars(small)[_REMEMBERED] = kept  # past Keras, which would track and save it


class Kept:
    """Which channels of an original model are left in a small or pruned one.

    Args:
        framework: The adapter of both.
        model: The model: of the original's size, or as `spp.shrink` has returned it.
        original: The original.

    Raises:
        ValueError: If that is not known, or the original is another one.
    """

    def __init__(self, framework: Adapter, model: Any, original: Any) -> None:
        self._axes: dict[int, list[np.ndarray]] = {}
        layers = [framework.unwrap(layer) for layer in framework.layers(model)]
        originals = [framework.unwrap(layer) for layer in framework.layers(original)]
        remembered = vars(model).get(_REMEMBERED)
        if remembered is None:
            remembered = [
                [[np.ones(size, bool) for size in weight.shape] for weight in layer.weights]
                for layer in originals
            ]
        names, of_original = (
            [layer.name if layer.weights else "" for layer in side] for side in (layers, originals)
        )
        if names != of_original:  # those without weights may be called otherwise: opened functions
            raise ValueError(_other(model, "has other layers"))
        for layer, other, keeps in zip(layers, originals, remembered, strict=True):
            for weight, of_other, axes in zip(layer.weights, other.weights, keeps, strict=True):
                if list(of_other.shape) != [len(keep) for keep in axes]:
                    raise ValueError(_other(model, f"differs in layer {layer.name!r}"))
                if list(weight.shape) != [int(keep.sum()) for keep in axes]:
                    raise ValueError(
                        f"`model` {model.name!r} does not know which channels of layer "
                        f"{layer.name!r} it has kept, as it was saved since, or spp.shrink has not "
                        f"made it: compensate first, then save."
                    )
                self._axes[id(weight)] = axes

    def outputs(self, kernel: Kernel) -> np.ndarray:
        """Returns which outputs of the original's kernel are left, booleans."""
        keep = self._axes[id(kernel.variable)][kernel.written]
        return np.repeat(keep, kernel.multiplier)


def _other(model: Any, how: str) -> str:
    return (
        f"`original` must be the model that `model` {model.name!r} was pruned from, but {how}: "
        f"give what spp.prune was given."
    )
