"""Optimizers of Keras 3: what they keep of each variable, and others like them without state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_spp.frameworks.keras3 import private
from keras_spp.frameworks.keras3.private import slots
from keras_spp.frameworks.moments import begin_anew

__all__ = [
    "batches_per_step", "counters", "forget", "inner", "is_known", "remake", "slots", "spare_alike",
    "with_state",
]  # fmt: skip


def is_known(optimizer: Any) -> bool:
    """Tells whether an optimizer is one of Keras 3."""
    return isinstance(optimizer, keras.optimizers.Optimizer)


def inner(optimizer: Any) -> Any:
    """Returns the optimizer that holds the moments: that inside a LossScaleOptimizer, or itself."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def adam(rate: float, steps: int) -> Any:
    """Makes an Adam whose rate falls to 0 within so many steps, along a cosine."""
    return keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps))


def remake(optimizer: Any) -> Any:
    """Makes an optimizer of the same class and configuration, without state."""
    if hasattr(optimizer, "inner_optimizer"):  # a LossScaleOptimizer, which has adapted its scale
        scale = float(optimizer.dynamic_scale) if optimizer.built else optimizer.initial_scale
        return type(optimizer)(
            remake(optimizer.inner_optimizer), scale, optimizer.dynamic_growth_steps
        )
    if (schedule := private.schedule_of(optimizer)) is None:
        return type(optimizer).from_config(optimizer.get_config())
    # It has no state, and may be of a class that nobody can make from a config.
    config = private.config_without_schedule(optimizer)
    return type(optimizer).from_config({**config, "learning_rate": schedule})


def with_state(optimizer: Any, variables: Sequence[Any]) -> Any:
    """Returns an optimizer that has made a step, or else one like it with state of variables."""
    if inner(optimizer).built:
        return optimizer
    other = remake(optimizer)
    other.build(variables)
    return other


def spare_alike(optimizer: Any, other: Any, pairs: Sequence[tuple[Any, Any]]) -> None:
    """Has weight decay leave alone in one optimizer what it leaves alone in another.

    Args:
        optimizer: The one that has been told.
        other: One without state.
        pairs: Variables that belong together: of the one, of the other.
    """
    spared = [private.is_spared_from_decay(optimizer, mine) for mine, _ in pairs]
    if any(spared):
        alone = [theirs for (_, theirs), spare in zip(pairs, spared, strict=True) if spare]
        other.exclude_from_weight_decay(var_list=alone)


def forget(model: Any, variables: Sequence[Any]) -> None:
    """Lets what a model's optimizer keeps of some variables begin anew, see `begin_anew`.

    Args:
        model: A model that is compiled with a known optimizer, whose step counter goes on.
        variables: The variables, of which averages begin with their present values.
    """
    optimizer = inner(model.optimizer)
    if not optimizer.built:
        return
    known = [variable for variable in variables if slots(optimizer, variable)]
    fresh = remake(optimizer)
    fresh.build(known)
    for variable in known:
        begin_anew(slots(optimizer, variable), slots(fresh, variable))


def counters(optimizer: Any, other: Any) -> list[tuple[Any, Any]]:
    """Pairs the variables that two optimizers of one class hold once, not for each variable."""
    return [
        (value, getattr(other, name))
        for name, value in vars(optimizer).items()
        if isinstance(value, keras.Variable)
    ]


def batches_per_step(optimizer: Any) -> int:
    """Says for how many batches an optimizer steps once, gathering gradients meanwhile."""
    return inner(optimizer).gradient_accumulation_steps or 1
