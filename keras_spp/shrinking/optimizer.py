"""`spp.sliced_optimizer`: the pruned model's optimizer, with its state, for the small model."""

from __future__ import annotations

from typing import Any

from keras_spp import frameworks
from keras_spp.frameworks.interface import Model
from keras_spp.shrinking.cut import sliced
from keras_spp.training.state import State


def sliced_optimizer(pruned: Model, small: Model) -> Any:
    """Returns an optimizer that goes on with the small model where the pruned one's stopped.

    Momenta and other moments lose the channels that `spp.shrink` removed; the step counter, and
    with it a learning-rate schedule, goes on.

    Args:
        pruned: A compiled model from `spp.prune` that has been trained; it is not modified.
        small: What `spp.shrink(pruned)` returned, or that loaded from a file.

    Returns:
        An optimizer of the same class and configuration to compile `small` with.

    Raises:
        TypeError: If one is no Keras model, or the optimizer is a legacy one.
        ValueError: If `pruned` is not compiled or not pruned, `small` was not made from it, other
            layers are trainable than were trained, or the optimizer keeps moments of other shapes
            than the weights' (Adafactor) or elsewhere than in lists, as those of Keras do.

    Example:
        >>> import numpy as np, tf_keras as keras, keras_spp as spp
        >>> model = keras.Sequential([
        ...     keras.Input((4,)), keras.layers.Dense(32), keras.layers.Dense(2)])
        >>> pruned = spp.prune(model, pruning_ratio=0.5, schedule=spp.OneShotSchedule())
        >>> pruned.compile(keras.optimizers.Adam(0.01), "mse")
        >>> x, y = np.ones((64, 4)), np.ones((64, 2))
        >>> _ = pruned.fit(x, y, batch_size=1, verbose=0, callbacks=[spp.SPPCallback()])
        >>> small = spp.shrink(pruned)
        >>> small.compile(sliced_optimizer(pruned, small), "mse")
        >>> int(small.optimizer.iterations)
        64
    """
    framework = frameworks.of(pruned, "pruned")
    frameworks.of(small, "small")
    if getattr(pruned, "optimizer", None) is None:
        raise ValueError("`pruned` must be compiled but has no optimizer whose state to slice.")
    old, optimizers = pruned.optimizer, framework.optimizers
    if not optimizers.is_known(old):
        raise TypeError(
            f"`pruned` must be compiled with an optimizer of keras.optimizers but its optimizer is "
            f"a {type(old).__module__}.{type(old).__name__}."
        )
    state = State(pruned)
    pairs = _pairs(pruned, small)
    dead = state.dead()
    new = optimizers.remake(old)
    old_inner, new_inner = map(optimizers.inner, (old, new))
    optimizers.spare_alike(old_inner, new_inner, pairs)
    inner = optimizers.inner(optimizers.with_state(old, pruned.trainable_variables))
    new.build(small.trainable_variables)
    taken = set()
    # The step counter, Nadam's product of its decays.
    for mine, its in optimizers.counters(inner, new_inner):
        framework.write(its, framework.read(mine))  # a copy: JAX gives buffers away
        taken.add(id(mine))
    for variable, other in pairs:
        moments = optimizers.slots(inner, variable)
        slots = optimizers.slots(new_inner, other)
        if len(moments) != len(slots):
            raise ValueError(
                f"`pruned` must have been trained with the layers that are trainable now but "
                f"its optimizer has no state of {variable.name!r}: compile `small` with a new one."
            )
        for mine, slot in zip(moments.values(), slots.values(), strict=True):
            if mine.shape != variable.shape:
                raise ValueError(
                    f"`pruned` has an optimizer, {type(inner).__name__}, whose moments have other "
                    f"shapes than the weights: compile `small` with a new optimizer."
                )
            value = sliced(state.coupling, dead, variable, framework.read(mine))
            if value.shape != slot.shape:
                raise ValueError(
                    f"`small` must be what spp.shrink(pruned) returned but its {other.name!r} has "
                    f"shape {tuple(slot.shape)}, not {value.shape}."
                )
            framework.write(slot, value)
            taken.add(id(mine))
    left = [variable.name for variable in inner.variables if id(variable) not in taken]
    if left:
        raise ValueError(
            f"`pruned` has an optimizer, {type(inner).__name__}, that does not keep {left} as the "
            f"optimizers of Keras keep theirs, in a list: compile `small` with a new optimizer."
        )
    return new


def _pairs(pruned: Model, small: Model) -> list[tuple[Any, Any]]:
    """Pairs trainable weights of both models that belong together."""
    framework = frameworks.of(pruned)
    old, new = ([*map(framework.unwrap, framework.layers(model))] for model in (pruned, small))
    if [layer.name for layer in old] != [layer.name for layer in new]:
        raise ValueError("`small` must be what spp.shrink(pruned) returned but has other layers.")
    pairs: list[tuple[Any, Any]] = []
    for mine, other in zip(old, new, strict=True):
        if len(mine.trainable_weights) != len(other.trainable_weights):
            raise ValueError(
                f"`small` must have the layers trainable that are so in `pruned` but "
                f"{mine.name!r} differs: set `trainable` alike in both."
            )
        pairs += zip(mine.trainable_weights, other.trainable_weights, strict=True)
    return pairs
