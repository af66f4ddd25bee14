"""Scores: how important a group of weights is, and so in which order groups are pruned.

All are compared within one set of groups only. A score is chosen by its name in a schedule,
`spp.SPPSchedule(score="taylor")`:

| name | importance of a group | source |
|---|---|---|
| l1 | sum of the weights' magnitudes | Wang et al., BMVC 2018, section 3.1; Li et al., 2016 |
| l2 | root of the sum of their squares | He et al., "Soft filter pruning", 2018 |
| taylor | sum over training steps of the loss's first-order change without it, as a magnitude | \
Molchanov et al., "Pruning convolutional neural networks", 2016, section 2.2 |
| bn_scale | magnitude of the batch normalisation's scale of the channel | Liu et al., "Learning \
efficient convolutional networks through network slimming", 2017 |

or given as a function of a weight, of any shape in float32, that returns what each element
contributes to its group's sum: "l1" is `tf.abs`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from keras_spp.core.channels import Axis
from keras_spp.core.coupling import Coupling
from keras_spp.core.kinds import is_a
from keras_spp.rules.channelwise import BATCH_NORMALIZATIONS
from keras_spp.util.messages import first_line

if TYPE_CHECKING:
    from keras_spp.core.groups import Groups
    from keras_spp.frameworks.tf_keras.wrapper import PruneSPP


class Score:
    """What the names stand for.

    Attributes:
        gathers: Whether wrappers gather the gradient of their masks in each training step.
        relative: Whether values say something only beside those of the same layer, so that they
            are divided by the layer's mean before layers that read the same channel are added.
    """

    gathers = False
    relative = True

    def of(self, wrappers: list[PruneSPP], coupling: Callable[[], Coupling]) -> list[tf.Tensor]:
        """Importance of each group in each layer, shape (groups,), float32.

        Args:
            wrappers: All wrappers of the model.
            coupling: Gives the model's channels.
        """
        raise NotImplementedError

    def check(self, groups: Groups) -> None:
        """Raises ValueError if these groups cannot be scored."""


class Magnitude(Score):
    """A sum over the group's weights."""

    def __init__(self, contribution: Callable, root: bool = False) -> None:
        self.contribution, self.root = contribution, root

    def of(self, wrappers: list[PruneSPP], coupling: Callable[[], Coupling]) -> list[tf.Tensor]:
        """Sums over all masked weights of a layer."""
        parts = ([entry.sums(self.contribution) for entry in each.masked] for each in wrappers)
        sums = [tf.add_n(part) for part in parts]
        return [tf.sqrt(each) for each in sums] if self.root else sums

    def check(self, groups: Groups) -> None:
        """The function must work element by element."""
        try:
            values = tf.function(self.contribution)(tf.ones([2, 3]))
        except (TypeError, ValueError, NotImplementedError) as error:
            raise ValueError(
                f"`score` must be made of TensorFlow functions of one weight but fails "
                f"({first_line(error)})."
            ) from error
        if not tf.is_tensor(values) or values.shape != (2, 3) or values.dtype != tf.float32:
            got = getattr(values, "shape", None), getattr(values, "dtype", type(values))
            raise ValueError(
                f"`score` must return what each element of a weight contributes, but for a float32 "
                f"weight of shape (2, 3) it returned shape and type {got}."
            )


class Taylor(Score):
    """What wrappers gathered since the last update: |sum of weight * gradient|, step by step.

    The gradient is that of the masked weights, so a group that was dropped in a step is scored
    by what its return would change. A layer that is called several times in a step adds the
    magnitudes of its calls. Gradients that are taken outside of training steps count too.
    """

    gathers = True
    relative = False  # all are changes of one loss

    def of(self, wrappers: list[PruneSPP], coupling: Callable[[], Coupling]) -> list[tf.Tensor]:
        """Takes what is there; gathering starts again."""
        gathered = [tf.identity(wrapper.gathered) for wrapper in wrappers]
        with tf.control_dependencies(gathered):
            for wrapper in wrappers:
                wrapper.gathered.assign(tf.zeros_like(wrapper.gathered))
        return gathered


class BatchNormScale(Score):
    """|gamma| of the channel, relative to the layer's mean, in all layers that normalise it."""

    def of(self, wrappers: list[PruneSPP], coupling: Callable[[], Coupling]) -> list[tf.Tensor]:
        """The same for every layer that reads the channel."""
        found = coupling()
        scales = tf.zeros([found.count])
        for axis in _scale_axes(found):
            gamma = tf.abs(tf.cast(axis.variable, tf.float32))
            share = tf.math.divide_no_nan(gamma, tf.reduce_mean(gamma))
            scales = tf.tensor_scatter_nd_add(scales, found.of(axis)[:, None], share)
        read = {id(axis.variable): found.of(axis) for axis in found.reads}
        importances = []
        for wrapper in wrappers:
            class_of = np.zeros(wrapper.mask.shape[0], int)
            for entry in wrapper.masked:
                entry.layout.place(read[id(entry.weight)], class_of)
            importances.append(tf.gather(scales, class_of))
        return importances

    def check(self, groups: Groups) -> None:
        """Every channel must be normalised."""
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
    return [
        axis
        for axis in coupling.channels.axes.values()
        if is_a(axis.layer, *BATCH_NORMALIZATIONS) and axis.variable is axis.layer.gamma
    ]


NAMED: dict[str, Callable[[], Score]] = {
    "l1": lambda: Magnitude(tf.abs),
    "l2": lambda: Magnitude(tf.square, root=True),
    "taylor": Taylor,
    "bn_scale": BatchNormScale,
}


def get(score: Any) -> Score:
    """The score that a name or a function stands for.

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
