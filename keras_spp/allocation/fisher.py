"""Allocation by Fisher information: what the outputs say when a group is changed a little."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_spp import frameworks
from keras_spp.allocation.greedy import Stepwise, importance
from keras_spp.core.groups import Groups
from keras_spp.frameworks.data import chunks, fitting
from keras_spp.frameworks.interface import Model
from keras_spp.util.checks import check_integer

POINTS = 16  # at which the price of pruning a set is looked at


class Fisher(Stepwise):
    """Prunes where a MAC saved changes the outputs least, to first order.

    For every group the derivative of the outputs by the group's weights, all scaled together, says
    what the outputs would change by if the group went, taken linearly and relative to the outputs'
    deviation. What is the same for all samples does not count: a bias makes up for it. No targets
    are needed, but samples must differ: shuffle them if they are sorted.

    Several groups of a set, the least important ones by L1 norm first, cost the geometric mean of
    two estimates: the sum of their squares, as if each went alone, and the square of their sum,
    which knows that one group may undo what another does. `spp.prune` then takes, step by step
    over all sets, what saves most MACs for the change that it adds, which counts the more the less
    of a set is left. One backward pass gives one random projection of the derivatives; the error
    of the estimates falls with the square root of their number.

    Source: Fisher pruning weighs such derivatives of the loss against computational cost (Theis,
    Korshunova, Tejani, Huszar, "Faster gaze prediction with dense networks and Fisher pruning",
    2018, sections 2.1 and 2.2). Here the outputs take the place of the loss, and all groups of a
    set are judged before training.

    Args:
        passes: Backward passes, at least 1.
        samples: Samples in each pass, at least 1 (a batch size that the model fixes goes first);
            they are taken from `representative_data` in turn, and again from its beginning when
            it ends.
        seed: Decides the projections.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> import numpy as np, tf_keras as keras, keras_spp as spp
        >>> model = keras.Sequential([
        ...     keras.Input((8, 8, 3)), keras.layers.Conv2D(16, 3), keras.layers.Conv2D(16, 3),
        ...     keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(4)])
        >>> images = np.random.default_rng(0).normal(size=(64, 8, 8, 3))
        >>> pruned = spp.prune(model, target_speedup=2, allocation=Fisher(),
        ...                    representative_data=images, round_to=1)
    """

    def __init__(self, passes: int = 64, samples: int = 8, seed: int = 0) -> None:
        super().__init__()
        check_integer("passes", passes, 1)
        check_integer("samples", samples, 1)
        check_integer("seed", seed, 0)
        self.passes, self.samples, self.seed = int(passes), int(samples), int(seed)

    def prepare(self, model: Model, groups: Groups, representative_data: Any) -> None:
        """Estimates what groups do to the outputs, and sorts the sets' steps."""
        importances = importance(groups, frameworks.of(model))
        order = {name: values.argsort(kind="stable") for name, values in importances.items()}
        ends = {}  # of each set's steps, in that order
        for entry in groups.sets:
            steps = min(POINTS, entry.size)
            ends[entry.name] = np.round(np.linspace(0, entry.size, steps + 1)[1:]).astype(int) - 1
        alone = {name: np.zeros(len(at)) for name, at in ends.items()}
        together = {name: np.zeros(len(at)) for name, at in ends.items()}
        for derivatives in self._derivatives(model, groups, representative_data):
            for name, values in derivatives.items():
                gone = values[order[name]]
                alone[name] += (gone**2).cumsum()[ends[name]]
                together[name] += gone.cumsum()[ends[name]] ** 2
        everything = np.concatenate(list(alone.values()))
        if not np.isfinite(everything).all() or not everything.any():
            finite = np.isfinite(everything).all()
            what = "zeros, as samples do that are all alike," if finite else "NaN or infinity"
            raise ValueError(
                f"`representative_data` gives {what} for the derivatives of the outputs by the "
                f"weights, so spp.Fisher cannot say what matters: give finite samples that "
                f"differ, or another allocation."
            )
        costs = {name: np.sqrt(alone[name]) * np.sqrt(together[name]) for name in ends}
        self.sort(groups, costs)

    def _derivatives(
        self, model: Model, groups: Groups, representative_data: Any
    ) -> Iterator[dict[str, np.ndarray]]:
        """Yields for each pass the derivatives by each set's groups, shape (size,)."""
        framework = frameworks.of(model)
        probe = framework.Probe(model, groups)
        derivatives = framework.projected_derivatives(probe)
        fixed = model.inputs[0].shape[0]
        parts = chunks(representative_data, fixed or self.samples, self.passes, bool(fixed))
        for number, inputs in enumerate(parts):
            with fitting(self.samples, "Fisher"):
                by_reader = derivatives(inputs, self.seed, number)
            by_set = {entry.name: np.zeros(entry.size) for entry in groups.sets}
            for reader, values in zip(groups.readers, by_reader, strict=True):
                for entry, part in reader.split(values):
                    by_set[entry.name] += part
            yield by_set
