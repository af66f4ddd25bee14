"""Importance of groups by what cannot be made up for, from data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from keras_spp.compensation.kernels import kernel_of
from keras_spp.compensation.layer import ROWS
from keras_spp.compensation.samples import gathered
from keras_spp.core import arrays
from keras_spp.core.elimination import RIDGE, Rows, eliminated
from keras_spp.core.groups import Groups, GroupSet, Reader
from keras_spp.core.least_squares import Moments, System
from keras_spp.frameworks.interface import Adapter, Model


class Remedy:
    """What the weights of a dense model become when some of its groups go, and how much is lost.

    Args:
        framework: The adapter of the model.
        model: The dense model.
        groups: Its groups.
        representative_data: Samples.
        samples: How many to look at.
    """

    def __init__(
        self,
        framework: Adapter,
        model: Model,
        groups: Groups,
        representative_data: Any,
        samples: int = 1024,
    ) -> None:
        self.groups = groups
        self._solvable: list[_Solvable] = []
        moments = _moments(framework, model, groups, representative_data, samples)
        for number, reader in enumerate(groups.readers):
            if id(reader.layer) in moments:
                self._solvable.append(_Solvable(framework, number, reader, moments[id(reader.layer)]))

    def importance(self) -> dict[str, np.ndarray]:
        """Returns what is lost when each group goes, those before it gone, and the rest solved for.

        Returns:
            By the set's name, shape (size,), for the sets that some layer reads by a kernel that
            is a matrix.
        """
        systems: dict[str, list[Rows]] = {}
        for solvable in self._solvable:
            for entry, rows in solvable.systems():
                systems.setdefault(entry.name, []).extend(rows)
        sizes = {entry.name: entry.size for entry in self.groups.sets}
        return {name: eliminated(rows, sizes[name]) for name, rows in systems.items()}

    def kernels(self, kept: Mapping[str, np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
        """Yields the number of each reader, and the kernel that makes up for what is gone.

        Args:
            kept: Which groups stay, by the name of their set.
        """
        for solvable in self._solvable:
            yield solvable.number, solvable.kernel(solvable.reader.joined(kept))


class _Solvable:
    """A layer that reads groups by a kernel that is a matrix at every position."""

    def __init__(
        self, framework: Adapter, number: int, reader: Reader, moments: np.ndarray
    ) -> None:
        self.number, self.reader = number, reader
        kernel = kernel_of(reader.layer)
        assert kernel is not None
        self._kernel = kernel
        (mask,) = reader.weights
        groups = sum(entry.size for entry in reader.sets)
        numbers = 2 + np.arange(groups, dtype=np.float64)
        weight = framework.read(kernel.variable).astype(np.float64)
        of_row = np.broadcast_to(mask.layout.spread(arrays, numbers), weight.shape)
        # The group of each row, shape (systems, d); -1 for those of none.
        self._of_row = kernel.matrix(of_row)[..., 0].astype(int) - 2
        self._weights, self._moments = kernel.matrix(weight), moments
        self._scale = float(np.einsum("sdo,sde,seo->", self._weights, moments, self._weights))
        self._known: dict[bytes, np.ndarray] = {}

    def systems(self) -> Iterator[tuple[GroupSet, list[Rows]]]:
        """Yields each set that the layer reads, with the rows of its groups."""
        start = 0
        for entry in self.reader.sets:
            systems = []
            for weights, moments, rows in zip(
                self._weights, self._moments, self._of_row, strict=True
            ):
                places = [np.flatnonzero(rows == start + at) for at in range(entry.size)]
                if len({len(place) for place in places}) == 1 and len(places[0]):
                    systems.append(Rows(weights, moments, np.array(places), self._scale or 1.0))
            start += entry.size
            if systems:
                yield entry, systems

    def kernel(self, kept: np.ndarray) -> np.ndarray:
        """Returns the kernel when these of the layer's groups are left."""
        key = kept.tobytes()
        if key not in self._known:
            active = np.append(kept, True)[self._of_row]
            products = self._moments @ self._weights
            zeros = np.zeros_like(products[:, 0])
            system = System(self._moments, products, zeros, zeros, zeros)
            old = self._weights * active[..., None]
            self._known = {key: self._kernel.kernel(system.solve(old, RIDGE, active))}
        return self._known[key]


def _moments(
    framework: Adapter, model: Model, groups: Groups, representative_data: Any, samples: int
) -> dict[int, np.ndarray]:
    """Returns the second moments of the inputs of each layer that reads groups, by its id."""
    batches = gathered(framework, model, representative_data, samples)
    count = sum(len(framework.flatten(batch)[0]) for batch in batches)
    random = np.random.default_rng(0)
    kernels = {id(reader.layer): kernel_of(reader.layer) for reader in groups.readers}
    gathering = {key: Moments() for key, kernel in kernels.items() if kernel is not None}

    def hook(layer: Any) -> Any:
        kernel = kernels.get(id(layer))
        if kernel is None:
            return None

        def look(inputs: Any, outputs: Any) -> None:
            x, sizes = np.asarray(inputs), kernel.outputs(outputs.shape)
            positions = chosen(random, len(x), int(np.prod(sizes)), -(-ROWS // count))
            rows = kernel.rows(x, sizes, positions)
            gathering[id(layer)].add(rows, np.zeros((*rows.shape[:2], 0)))

        return look

    probe = framework.Probe(model, hooks=hook)
    probe.outputs(batches, eager=True)
    return {key: value.system(intercept=True).inputs for key, value in gathering.items()}


def chosen(random: np.random.Generator, samples: int, count: int, some: int) -> np.ndarray:
    """Chooses positions of each sample, spread over it; all if they are few.

    Returns:
        Numbers below `count`, shape (samples, positions).
    """
    if some >= count:
        return np.tile(np.arange(count), (samples, 1))
    strata = np.arange(some) + random.random((samples, some))
    return np.minimum((strata * count / some).astype(int), count - 1)
