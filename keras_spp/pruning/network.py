"""A model as targets look at it: its channels are labelled, and its groups are known."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_spp import frameworks
from keras_spp.core.channels import Sizes
from keras_spp.core.cost import MACs
from keras_spp.core.groups import Groups
from keras_spp.frameworks.interface import Model

# Says of an opened model and its groups how important these are, (size,) by the set's name.
Scores = Callable[[Model, Groups], Mapping[str, np.ndarray]]
_WHOLE = "biuOSU"  # kinds of NumPy types that cannot hold NaN; bfloat16 is none of its own


@dataclass(frozen=True)
class Network:
    """A labelled model.

    Attributes:
        original: The model as the user gave it.
        model: The same with plain layers for what hides them; the groups are of this one.
        groups: The groups that can be pruned; they cost MACs.
        counted: Whose MACs those are.
        sizes: The sizes of each input without the batch, if they were given; None for those that
            the model declares.
    """

    original: Model
    model: Model
    groups: Groups
    counted: str
    sizes: list[Sizes] | None

    def check_prunable(self, round_to: int) -> None:
        """Checks that there are more groups than have to survive.

        Raises:
            ValueError: If there are not.
        """
        if not any(entry.size > entry.step(round_to) for entry in self.groups.sets):
            reasons = sorted({reason for reason, _ in self.groups.coupling.reasons.values()})
            kept = f" ({', '.join(reasons)})" if reasons else ""
            raise ValueError(
                f"`model` {self.model.name!r} has nothing to prune with granularity="
                f"{self.groups.granularity!r} and round_to={round_to}{kept}: spp.analyze(model) "
                f"says why for each layer."
            )

    def check_size(self, target: str) -> None:
        """Checks that MACs can be counted, as a target needs them.

        Args:
            target: The argument's name.

        Raises:
            ValueError: If a size is open.
        """
        if not self.groups.coupling.channels.unknown_size:
            return
        if self.sizes is not None:
            frameworks.of(self.original).check_taken(self.original, self.sizes)
        raise ValueError(
            f"`{target}` counts MACs, which are unknown because the model's input size is not "
            "fixed (or a layer without a rule cannot be called on one sample): give input_shape, "
            "or pruning_ratio instead."
        )


def label(
    model: Model,
    granularity: str = "channel",
    *,
    policy: Any = None,
    seed: int = 0,
    counted: str = "all",
    scores: Scores | None = None,
    input_shape: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
) -> Network:
    """Finds out what of a model can be pruned; the arguments are those of `spp.prune`.

    Args:
        model: The model.
        granularity: Whether channels or columns are pruned.
        policy: Which layers keep their kernels whole.
        seed: Decides all masks.
        counted: Whose MACs count.
        scores: By which scores groups of the opened model will go; None where it is not known.
        input_shape: The sizes at which they count.

    Raises:
        ValueError: If the model is pruned or wrapped already or holds weights that are not finite,
            or `input_shape` does not fit it.
    """
    framework = frameworks.of(model)
    framework.require_unwrapped(model)
    _check_weights(model)
    if policy is not None:
        policy.ensure_model_supports_pruning(model)
    sizes = None if input_shape is None else framework.input_sizes(model, input_shape)
    plain = framework.opened(model)
    coupling = framework.label(plain, policy, to_prune=True, sizes=sizes)
    by_groups = None if scores is None else functools.partial(scores, plain)
    groups = Groups(coupling, granularity, seed, MACs(coupling, counted), by_groups)
    return Network(model, plain, groups, counted, sizes)


def _check_weights(model: Model) -> None:
    framework = frameworks.of(model)
    for layer in framework.layers(model):
        for weight in layer.weights:
            value = framework.read(weight)
            if value.dtype.kind not in _WHOLE and not np.isfinite(value).all():
                raise ValueError(
                    f"`model` holds NaN or infinity in the weight {weight.name!r} of layer "
                    f"{layer.name!r}: load a sound checkpoint first."
                )
