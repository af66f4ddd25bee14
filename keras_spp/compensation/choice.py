"""Which channels to keep: those that the others cannot make up for, told by data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_spp.compensation.kernels import WIDE, Kernel, kernel_of
from keras_spp.compensation.positions import chosen
from keras_spp.core import arrays
from keras_spp.core.elimination import Rows, eliminated
from keras_spp.core.groups import Groups, GroupSet, Reader
from keras_spp.core.least_squares import Moments
from keras_spp.frameworks.data import count
from keras_spp.frameworks.interface import Adapter, Model
from keras_spp.util.threads import threads_for


def importance(
    framework: Adapter, model: Model, groups: Groups, batches: list[Any]
) -> dict[str, np.ndarray]:
    """Returns what is lost when each group goes, those before it gone, and the rest solved for.

    Args:
        framework: The adapter of the model.
        model: The dense model.
        groups: Its groups.
        batches: Samples, as the model takes them.

    Returns:
        By the set's name, shape (size,), for the sets that some layer reads by a kernel that is a
        matrix at every position.
    """
    kernels = {id(reader.layer): kernel_of(reader.layer) for reader in groups.readers}
    known = {
        key: kernel
        for key, kernel in kernels.items()
        if kernel is not None and kernel.inputs() <= WIDE
    }
    moments = _moments(framework, model, known, batches)
    systems: dict[str, list[Rows]] = {}
    for reader in groups.readers:
        if (number := id(reader.layer)) in moments:
            for entry, rows in _systems(framework, reader, known[number], moments[number]):
                systems.setdefault(entry.name, []).extend(rows)
    sizes = {entry.name: entry.size for entry in groups.sets}
    with threads_for(1):  # many small products
        return {name: eliminated(rows, sizes[name]) for name, rows in systems.items()}


def _moments(
    framework: Adapter, model: Model, kernels: dict[int, Kernel], batches: list[Any]
) -> dict[int, np.ndarray]:
    """Returns the second moments of what each of these kernels is multiplied with.

    A layer in a model that TimeDistributed repeats is not called alone, so it is not there.
    """
    random = np.random.default_rng(0)
    moments = {key: Moments() for key in kernels}
    samples = count(batches)

    def hook(layer: Any) -> Any:
        kernel = kernels.get(id(layer))
        if kernel is None:
            return None

        def look(inputs: Any, outputs: Any) -> None:
            x, sizes = np.asarray(inputs, np.float32), kernel.outputs(outputs.shape)
            rows = kernel.rows(x, sizes, chosen(random, len(x), sizes, samples))
            with threads_for(rows.shape[-1]):
                moments[id(layer)].add(rows, np.zeros((*rows.shape[:2], 0)))

        return look

    framework.Probe(model, hooks=hook).outputs(batches, eager=True)
    return {
        key: value.system(intercept=True).inputs for key, value in moments.items() if value.rows
    }


def _systems(
    framework: Adapter, reader: Reader, kernel: Kernel, moments: np.ndarray
) -> Iterator[tuple[GroupSet, list[Rows]]]:
    """Yields each set that a layer reads, with the rows of its groups."""
    (mask,) = reader.weights
    weight = framework.read(kernel.variable).astype(np.float64)
    # Spread, a position of no group gets 1.
    numbers = 2.0 + np.arange(sum(entry.size for entry in reader.sets))
    of_row = np.broadcast_to(mask.layout.spread(arrays, numbers), weight.shape)
    of_row = kernel.matrix(of_row)[..., 0] - 2
    weights = kernel.matrix(weight)
    scale = float(np.einsum("sdo,sde,seo->", weights, moments, weights)) or 1.0
    start = 0
    for entry in reader.sets:
        systems = []
        for matrix, second, rows in zip(weights, moments, of_row, strict=True):
            places = [np.flatnonzero(rows == start + number) for number in range(entry.size)]
            if len({len(place) for place in places}) == 1 and len(places[0]):
                systems.append(Rows(matrix, second, np.array(places), scale))
        start += entry.size
        if systems:
            yield entry, systems
