"""What the variables of a pruned model say: read from outside, without driving its training."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from keras_spp import frameworks
from keras_spp.core import arrays
from keras_spp.core.coupling import Coupling
from keras_spp.core.decision import FlatGroups
from keras_spp.core.probability import Sets
from keras_spp.frameworks.interface import Adapter, Layer, Model, Tensor
from keras_spp.training.fingerprint import check_identity
from keras_spp.training.nan_guard import Faults


class State:
    """The state of a pruned model.

    Everything is read when it is asked for, and nothing is changed.

    Args:
        model: What `spp.prune` returned, or such a model loaded from a file.

    Attributes:
        model: The model.
        framework: The adapter of its framework.
        wrappers: Its pruning wrappers, in the order of their first call.
        conductor: The one that holds what there is once for the model.
        schedule: Decides when groups are pruned, and how.
        groups: All groups, in one flat vector.
        faults: The record of NaN and infinity in training.

    Raises:
        TypeError: If it is no model of either Keras.
        ValueError: If the model is not pruned, or holds the state of one that was pruned otherwise.
    """

    def __init__(self, model: Model) -> None:
        frameworks.require_model(model)
        self.framework = frameworks.adapter(model)
        self.model = self.framework.synced(model)  # if training was interrupted, on JAX
        self.wrappers, self.conductor = _find(self.framework, model)
        self.framework.require_copies(model)
        self.framework.require_unchanged(self.wrappers)
        self.schedule = self.conductor.pruning_schedule
        self.groups = FlatGroups.of(
            [wrapper.sets for wrapper in self.wrappers], self.schedule.overshoot
        )
        self.faults = Faults(model, self.conductor.fault)
        if self.framework.read(self.conductor.identity):  # not before anything has driven the model
            check_identity(self.framework, self.wrappers)

    @property
    def names(self) -> list[str]:
        """Names of the sets of groups."""
        return self.groups.names

    @property
    def sets(self) -> Sets:
        """The sets, with their goals."""
        return self.groups.sets

    @property
    def optimizer(self) -> Any:
        """The one whose steps count; None if there is none."""
        return getattr(self.model, "optimizer", None)

    @property
    def updates(self) -> int:
        """Updates of the pruning probabilities made."""
        return int(self.framework.read(self.conductor.updates_made))

    @property
    def finished(self) -> bool:
        """Whether pruning has met its target and is over."""
        return bool(self.framework.read(self.conductor.finished))

    def frequency(self) -> int:
        """Returns the one given, whatever a restored run was given, or the one chosen, or 0."""
        return self.schedule.frequency or int(self.framework.read(self.conductor.frequency))

    def probabilities(self) -> Tensor:
        """Reads the probabilities of all groups, shape (groups,), in the order of `names`."""
        return self.groups.join(self.framework.arrays, [wrapper.p for wrapper in self.wrappers])

    def values(self) -> np.ndarray:
        """Reads them as NumPy's array, outside of training steps."""
        parts = [self.framework.read(wrapper.p) for wrapper in self.wrappers]
        return self.groups.join(arrays, parts)

    @cached_property
    def coupling(self) -> Coupling:
        """The model's channels."""
        sizes = self.framework.sizes_that_fit(self.model, self.conductor.input_sizes)
        return self.framework.label(self.model, sizes=sizes)

    def alive(self) -> dict[int, np.ndarray]:
        """Tells which groups of each masked kernel are not pruned, as `dead` takes it."""
        return {
            id(masked.weight): masked.layout.spread(arrays, self.framework.read(wrapper.mask)) > 0
            for wrapper in self.wrappers
            for masked in wrapper.masked
        }

    def dead(self) -> np.ndarray:
        """Tells which classes of channels no layer sees any more, shape (classes,), bool."""
        return self.coupling.dead(self.alive())

    def missing(self) -> int:
        """Counts the groups still to be pruned."""
        if self.finished:
            return 0
        self.tell()
        return int(self.sets.goal.sum() - (self.values() >= 1).sum())

    def tell(self) -> None:
        """Says what has gone wrong inside of training steps, where nothing can be said.

        Raises:
            FloatingPointError: If weights or scores held NaN or infinity when an update was due.

        Warns:
            UserWarning: If steps have changed the weights that the optimizer did not count.
        """
        self.faults.tell()
        if not self.finished:
            driver = self.conductor.driver or self
            self.conductor.standstill.tell(driver.optimizer, stacklevel=4)


def _find(framework: Adapter, model: Model) -> tuple[list[Layer], Layer]:
    """Returns a model's wrappers, and the first of them that was made to conduct."""
    wrappers = framework.wrappers(model) if framework.is_graph_network(model) else []
    conductors = [wrapper for wrapper in wrappers if wrapper.conductor]
    if len(conductors) == 1:
        return wrappers, conductors[0]
    other = framework.stage(model) if framework.is_graph_network(model) else None
    if other is not None and not wrappers:
        raise ValueError(
            f"`model` {model.name!r} is not a model that spp.prune returned but one that "
            f"is {other.state} (layer {other.layer!r}): {other.remedy}."
        )
    raise ValueError(
        f"`model` {model.name!r} is not a model that spp.prune returned (it has "
        f"{len(wrappers)} SPP wrappers): call spp.prune(model, ...) first, and do not "
        f"strip it."
    )
