"""Scores: how important a group of weights is, and so in which order groups are pruned.

All are compared within one set of groups only. A score is chosen by its name in a schedule,
`spp.SPPSchedule(score="taylor")`:

| name | importance of a group | source |
|---|---|---|
| l1 | sum of the weights' magnitudes | Wang et al., BMVC 2018, section 3.1; Li et al., 2016 |
| l2 | root of the sum of their squares | He et al., "Soft filter pruning", 2018 |
| taylor | sum over training steps of the loss's first-order change without it, as a magnitude | \
Molchanov et al., "Pruning convolutional neural networks", 2016, section 2.2 |
| reconstruction | what the layers that read it lose without it, and without all that is less \
important, when their other weights are solved for again: computed once, by `spp.prune`, \
from its `representative_data` | Hassibi and Stork, "Second order derivatives for network pruning: \
optimal brain surgeon", 1993; Kurtic, Frantar and Alistarh, "ZipLM", 2023 |
| bn_scale | magnitude of the batch normalisation's scale of the channel | Liu et al., "Learning \
efficient convolutional networks through network slimming", 2017 |

or given as a function of a weight, of any shape in float32, that returns what each element
contributes to its group's sum: "l1" is `tf.abs`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from keras_spp.core.arrays import Array
from keras_spp.core.channels import Axis
from keras_spp.core.coupling import Coupling
from keras_spp.core.masks import Layout

if TYPE_CHECKING:
    from keras_spp.core.groups import Groups


class Weight(Protocol):
    """A masked weight of a layer."""

    layout: Layout

    @property
    def weight(self) -> Any:
        """The variable."""

    def sums(self, contribution: Callable[[Array], Array]) -> Array:
        """Sums what the weight's elements contribute in every group, shape (groups,)."""


class Reader(Protocol):
    """A layer that reads groups, as scores look at it.

    Attributes:
        masked: Its weights.
        given: What `spp.prune` has computed of the groups, shape (groups,), for a score that takes
            that.
    """

    masked: Sequence[Weight]
    given: Any

    def take_gathered(self) -> Array:
        """Returns what was gathered since this was last asked, shape (groups,)."""


class Score:
    """What the names stand for.

    Attributes:
        gathers: Whether wrappers gather the gradient of their masks in each training step.
        relative: Whether values say something only beside those of the same layer, so that they
            are divided by the layer's mean before layers that read the same channel are added.
        given: Whether `spp.prune` computes it, from data.
    """

    gathers = False
    given = False
    relative = True

    def of(
        self, arrays: ModuleType, readers: Sequence[Reader], coupling: Callable[[], Coupling]
    ) -> list[Array]:
        """Scores each group in each layer, shape (groups,), float32.

        Args:
            arrays: The namespace that computes.
            readers: All layers that read groups.
            coupling: Gives the model's channels.
        """
        raise NotImplementedError

    def check(self, groups: Groups) -> None:
        """Raises ValueError if these groups cannot be scored."""


class Magnitude(Score):
    """A sum over the group's weights.

    Args:
        contribution: What each element of a weight contributes: a function, or the name of one in
            the namespace.
        root: Whether the root of the sum is taken.
    """

    def __init__(self, contribution: str | Callable[[Array], Array], root: bool = False) -> None:
        self.contribution, self.root = contribution, root

    def of(
        self, arrays: ModuleType, readers: Sequence[Reader], coupling: Callable[[], Coupling]
    ) -> list[Array]:
        """Sums over all masked weights of a layer."""
        contribution = self.contribution
        if isinstance(contribution, str):
            contribution = getattr(arrays, contribution)
        sums = []
        for reader in readers:
            first, *others = [masked.sums(contribution) for masked in reader.masked]
            for other in others:
                first = first + other
            sums.append(first)
        return [arrays.sqrt(values) for values in sums] if self.root else sums


class Taylor(Score):
    """What wrappers gathered since the last update: |sum of weight * gradient|, step by step.

    The gradient is that of the masked weights, so a group that was dropped in a step is scored
    by what its return would change. A layer that is called several times in a step adds the
    magnitudes of its calls. Gradients that are taken outside of training steps count too.
    """

    gathers = True
    relative = False  # all are changes of one loss

    def of(
        self, arrays: ModuleType, readers: Sequence[Reader], coupling: Callable[[], Coupling]
    ) -> list[Array]:
        """Takes what is there; gathering starts again."""
        return [reader.take_gathered() for reader in readers]


class Given(Score):
    """What `spp.prune` has computed; it stays as it is, so the order is known from the start."""

    given = True
    relative = False  # every layer that reads a set has the same numbers

    def of(
        self, arrays: ModuleType, readers: Sequence[Reader], coupling: Callable[[], Coupling]
    ) -> list[Array]:
        """Returns it."""
        return [arrays.cast(reader.given, "float32") for reader in readers]


class BatchNormScale(Score):
    """|gamma| of the channel, relative to the layer's mean, in all layers that normalise it."""

    def of(
        self, arrays: ModuleType, readers: Sequence[Reader], coupling: Callable[[], Coupling]
    ) -> list[Array]:
        """Gives the same to every layer that reads the channel."""
        classes = coupling()
        scales = arrays.zeros([classes.count])
        for axis in _scale_axes(classes):
            gamma = arrays.abs(arrays.cast(axis.variable, "float32"))
            share = arrays.divide_no_nan(gamma, arrays.mean(gamma))
            scales = arrays.scatter_add(scales, classes.of(axis), share)
        read = {id(axis.variable): classes.of(axis) for axis in classes.reads}
        importances = []
        for reader in readers:
            class_of = np.zeros(reader.masked[0].layout.groups, int)
            for masked in reader.masked:
                masked.layout.place(read[id(masked.weight)], class_of)
            importances.append(arrays.take(scales, class_of))
        return importances

    def check(self, groups: Groups) -> None:
        """Checks that every channel is normalised."""
        if groups.granularity != "channel":
            raise ValueError(
                f'`score` "bn_scale" ranks channels but `granularity` is {groups.granularity!r}: '
                f'choose granularity="channel" or another score.'
            )
        scaled = np.zeros(groups.coupling.count, bool)
        for axis in _scale_axes(groups.coupling):
            scaled[groups.coupling.of(axis)] = True
        missing = [entry.name for entry in groups.sets if not scaled[entry.classes].all()]
        if missing:
            raise ValueError(
                f'`score` "bn_scale" needs a batch normalisation with a scale behind every layer '
                f"that is pruned, but there is none behind {missing}: choose another score, or "
                f"leave these layers out with `policy`."
            )


def _scale_axes(coupling: Coupling) -> list[Axis]:
    """Finds the scales of batch normalisations, which are layers with statistics that move."""
    return [
        axis
        for axis in coupling.channels.axes.values()
        if hasattr(axis.layer, "moving_variance")
        and axis.variable is getattr(axis.layer, "gamma", None)
    ]


NAMED: dict[str, Callable[[], Score]] = {
    "l1": lambda: Magnitude("abs"),
    "l2": lambda: Magnitude("square", root=True),
    "taylor": Taylor,
    "reconstruction": Given,
    "bn_scale": BatchNormScale,
}


def get(score: Any) -> Score:
    """Finds the score that a name or a function stands for.

    Raises:
        ValueError: If it is neither.

    Example:
        >>> get("l2").of is not None
        True
    """
    if callable(score):
        return Magnitude(score)
    if not isinstance(score, str) or score not in NAMED:
        names = ", ".join(map(repr, NAMED))
        raise ValueError(f"`score` must be one of {names} or a function but is {score!r}.")
    return NAMED[score]()
