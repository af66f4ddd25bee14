"""Allocation by the energy of principal components: the paper's own (section 3.3)."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_spp import frameworks
from keras_spp.core.groups import Groups, GroupSet
from keras_spp.frameworks.data import batches
from keras_spp.frameworks.interface import Hook, Model
from keras_spp.rules.kernels import channel_axis
from keras_spp.util.checks import check_integer

# The variance of a channel is settled by far fewer positions than a batch of images has.
POSITIONS = 20_000


class PCA:
    """Prunes a layer the more, the fewer principal components hold the energy of its output.

    One fraction of the energy, the same for all layers, decides: a layer keeps as many groups,
    in proportion, as components are needed for that fraction. `spp.prune` finds the fraction
    that meets the target by bisection. Layers whose channels are tied are judged by the first
    layer that makes them.

    Args:
        batches: Look at no more than so many batches of `representative_data`, at least 1.

    Raises:
        ValueError: If `batches` is less than 1.

    Example:
        >>> import numpy as np, tf_keras as keras, keras_spp as spp
        >>> model = keras.Sequential([
        ...     keras.Input((8, 8, 3)), keras.layers.Conv2D(16, 3), keras.layers.Conv2D(16, 3),
        ...     keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(4)])
        >>> images = np.random.default_rng(0).normal(size=(64, 8, 8, 3))
        >>> pruned = spp.prune(
        ...     model, target_speedup=2, allocation=PCA(), representative_data=images, round_to=1)
    """

    def __init__(self, batches: int = 10) -> None:
        check_integer("batches", batches, 1)
        self.batches = batches
        self._energy: dict[str, np.ndarray] = {}

    def prepare(self, model: Model, groups: Groups, representative_data: Any) -> None:
        """Gathers the covariance of each layer's output."""
        covariances = {id(layer): _Covariance() for layer in _makers(groups).values()}
        probe = frameworks.of(model).Probe(
            model, hooks=lambda layer: _hook(layer, covariances.get(id(layer)))
        )
        for inputs in batches(representative_data, self.batches):
            probe.call(inputs)
        for name, layer in _makers(groups).items():
            if not np.isfinite(covariances[id(layer)].products).all():
                raise ValueError(
                    f"`representative_data` gives NaN or infinity in the outputs of layer "
                    f"{layer.name!r}, so spp.PCA cannot say how redundant it is: give finite data."
                )
            self._energy[name] = covariances[id(layer)].energy()

    def ratios(self, sets: list[GroupSet], strength: float) -> list[float]:
        """Keeps a share 1 - strength of the energy."""
        return [self._ratio(entry, strength) for entry in sets]

    def _ratio(self, entry: GroupSet, strength: float) -> float:
        energy = self._energy.get(entry.name)
        if energy is None:  # channels of a padding: no layer makes them
            return strength
        components = int(np.searchsorted(energy, 1 - strength - 1e-9)) + 1
        return 1 - min(components, len(energy)) / len(energy)


def _makers(groups: Groups) -> dict[str, Any]:
    """Returns for each set the layer whose output is looked at."""
    layers = {axis.layer.name: axis.layer for axis in groups.coupling.channels.axes.values()}
    return {
        entry.name: layers[entry.layers[0]] for entry in groups.sets if entry.layers[0] in layers
    }


def _hook(layer: Any, covariance: _Covariance | None) -> Hook | None:
    if covariance is None:
        return None

    def hook(_: Any, outputs: Any) -> None:
        values = np.moveaxis(np.asarray(outputs, np.float64), channel_axis(layer), -1)
        covariance.add(values.reshape(-1, values.shape[-1]))

    return hook


class _Covariance:
    """A covariance matrix gathered batch by batch."""

    def __init__(self) -> None:
        self.count, self.sum, self.products = 0, 0.0, 0.0

    def add(self, values: np.ndarray) -> None:
        """Takes samples of shape (positions, channels)."""
        values = values[:: -(-len(values) // POSITIONS)]
        self.count += len(values)
        self.sum = self.sum + values.sum(0)
        self.products = self.products + values.T @ values

    def energy(self) -> np.ndarray:
        """Returns the share of the energy that the first n components hold, for n = 1, 2, ..."""
        mean = self.sum / self.count
        covariance = self.products / self.count - np.outer(mean, mean)
        values = np.linalg.eigvalsh(covariance)[::-1].clip(0)
        total = values.sum()
        return np.cumsum(values) / total if total else np.ones(len(values))
