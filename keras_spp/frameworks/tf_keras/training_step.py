"""What happens in a training step: the first wrapper moves all probabilities when it is called.

That is in the step itself, on every replica. Optimizers keep what is pruned at zero, by
constraints.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf


def attach(model: Any, wrappers: Sequence[Any], pruner: Any) -> None:
    """Lets a pruner move the probabilities in the training steps of a model, from now on.

    Args:
        model: The model.
        wrappers: Its wrappers.
        pruner: What moves them.
    """
    before = pruner.conductor.driver
    if (before is None or not before.planned) and model.train_function is not None:
        # A training step traced before this has failed, and Keras would go on using it.
        model.make_train_function(force=True)
    if pruner.counts_steps() or before is None or not before.counts_steps():
        for wrapper in wrappers:  # who only looks does not take over from who trains
            wrapper.attach(pruner)


def when(condition: tf.Tensor, change: Callable[[], Any], pruner: Any) -> None:
    """Makes a change if a condition holds, which may be known only in a compiled step."""
    tf.cond(condition, lambda: (change(), tf.constant(True))[1], lambda: tf.constant(False))


def begin_step(pruner: Any) -> None:
    """Does nothing: wrappers move probabilities when they are called."""


def end_step(pruner: Any) -> None:
    """Does nothing: constraints keep at zero what is pruned."""


def stateless(pruner: Any, change: Callable[[], Any], state: Any) -> Any:
    """Refuses: variables of tf_keras are changed in place.

    Raises:
        TypeError: Always.
    """
    raise TypeError(
        "`model` must be a Keras 3 model for stateless steps but is a tf_keras one, whose training "
        "steps change variables in place: nothing has to be called in a loop of your own."
    )


def is_eager() -> bool:
    """Tells whether what is computed now is known now."""
    return tf.executing_eagerly()


def is_chief(model: Any) -> bool:
    """Tells whether this process is the one that writes what all workers have in common."""
    return model.distribute_strategy.extended.should_save_summary


def synced(model: Any) -> Any:
    """Returns the model: its variables are always up to date."""
    return model


def require_unchanged(wrappers: Sequence[Any]) -> None:
    """Does nothing: layers of tf_keras are not quantized in place."""
