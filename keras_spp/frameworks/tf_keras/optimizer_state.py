"""Optimizers of tf_keras: what they keep of each variable, and others like them without state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from keras_spp.frameworks.moments import begin_anew
from keras_spp.frameworks.tf_keras import private
from keras_spp.frameworks.tf_keras.variables import raw


def is_known(optimizer: Any) -> bool:
    """Tells whether an optimizer is of those of today's tf_keras, not a legacy one."""
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
        scale = float(optimizer.loss_scale)
        options = optimizer.dynamic, scale, optimizer.dynamic_growth_steps
        return type(optimizer)(remake(optimizer.inner_optimizer), *options)
    rate = private.learning_rate(optimizer)
    if not isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        return type(optimizer).from_config(optimizer.get_config())
    # A schedule has no state and may be of a class that nobody can make from a config.
    config = private.with_learning_rate(optimizer, tf.constant(0.0)).get_config()
    return type(optimizer).from_config({**config, "learning_rate": rate})


def with_state(optimizer: Any, variables: Sequence[Any]) -> Any:
    """Returns an optimizer that has made a step, or else one like it with state of variables."""
    if private.is_built(inner(optimizer)):
        return optimizer
    other = remake(optimizer)
    other.build(variables)
    other.iterations.assign(optimizer.iterations)
    return other


def spare_alike(optimizer: Any, other: Any, pairs: Sequence[tuple[Any, Any]]) -> None:
    """Has weight decay leave alone in one optimizer what it leaves alone in another.

    Args:
        optimizer: The one that has been told.
        other: One without state.
        pairs: Variables that belong together: of the one, of the other.
    """
    spared, names = private.spared_from_decay(optimizer, [raw(mine) for mine, _ in pairs])
    if names is not None:
        alone = [theirs for (_, theirs), spare in zip(pairs, spared, strict=True) if spare]
        other.exclude_from_weight_decay(var_list=alone, var_names=names)


def slots(optimizer: Any, variable: Any) -> dict[str, tf.Variable]:
    """Finds what an optimizer keeps of a variable: it holds lists in the order of `build`."""
    place = private.place_of(optimizer, raw(variable))
    return {
        name: value[place]
        for name, value in vars(optimizer).items()
        if place is not None
        and name != "_variables"
        and isinstance(value, list)
        and len(value) == private.places(optimizer)
        and isinstance(value[place], tf.Variable)
    }


def forget(model: Any, variables: Sequence[Any]) -> None:
    """Lets what a model's optimizer keeps of some variables begin anew, see `begin_anew`.

    Args:
        model: A model that is compiled with a known optimizer.
        variables: The variables, of which averages begin with their present values.
    """
    optimizer = inner(model.optimizer)
    if not private.is_built(optimizer):
        return
    known = [variable for variable in variables if slots(optimizer, variable)]
    with model.distribute_strategy.scope():
        fresh = remake(optimizer)
        fresh.build([raw(variable) for variable in known])
        for variable in known:
            begin_anew(slots(optimizer, variable), slots(fresh, variable))


def counters(optimizer: Any, other: Any) -> list[tuple[tf.Variable, tf.Variable]]:
    """Pairs the variables that two optimizers of one class hold once, not for each variable."""
    return [
        (value, getattr(other, name))
        for name, value in vars(optimizer).items()
        if isinstance(value, tf.Variable)
    ]


def batches_per_step(optimizer: Any) -> int:
    """Says for how many batches an optimizer steps once: for each."""
    return 1
