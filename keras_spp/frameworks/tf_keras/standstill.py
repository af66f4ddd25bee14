"""Weights that are trained while the counter of training steps stands still: told, not waited for.

Pruning goes by the steps of one optimizer. A training loop that applies another one trains the
masked network for ever with the masks of one step, and nothing is ever pruned. Inside a compiled
step nothing can be said; so it is noted in variables, and whoever looks at the model from outside
is told.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_spp.frameworks.tf_keras.variables import host, raw

# So many values of weights are compared from one training step to the next; a few of every layer
# tell as much as all.
WIDTH = 256
# One change without a step is that since the last comparison, another may be a restored checkpoint;
# and a loop may take some steps that are not counted between two that are.
PATIENCE = 5


class Standstill:
    """The record of one model: variables that are no part of its state, and are never saved."""

    def __init__(self) -> None:
        with tf.init_scope():
            self._values = tf.Variable(tf.zeros([WIDTH]), trainable=False, name="values")
            self._steps = tf.Variable(0, dtype=tf.int64, trainable=False, name="standing_still")

    def note(self, moved: tf.Tensor, weights: Sequence[tf.Variable]) -> None:
        """Notes a training pass.

        Several passes in one step, or for one step of an optimizer, do not count: weights do not
        change between them. Where the counter moves with every pass nothing is compared.

        Args:
            moved: Whether the counter has moved since the last one, scalar bool.
            weights: The weights that are pruned.
        """

        def compare() -> tf.Tensor:
            share = max(WIDTH // max(len(weights), 1), 1)
            values = tf.concat([_some(weight, share) for weight in weights[:WIDTH]], 0)
            values = tf.pad(values, [[0, WIDTH - values.shape[0]]])
            changed = tf.reduce_any(values != tf.convert_to_tensor(self._values))
            self._values.assign(values)
            return self._steps + tf.cast(changed, tf.int64)

        self._steps.assign(tf.cond(moved, lambda: tf.zeros([], tf.int64), compare))

    def forget(self) -> None:
        """Begins anew, with another optimizer."""
        self._steps.assign(0)

    def tell(self, optimizer: Any, stacklevel: int = 3) -> None:
        """Warns of what is noted.

        Args:
            optimizer: The one whose steps are counted, for the message.
            stacklevel: As for `warnings.warn`.
        """
        steps = int(host(self._steps))
        if steps >= PATIENCE:
            warnings.warn(
                f"SPP stands still: {steps} training steps have changed the weights but not the "
                f"step counter of the {type(optimizer).__name__} that pruning goes by, so nothing "
                f"is pruned: make spp.Pruner(model, optimizer) with the optimizer that the "
                f"training loop applies.",
                stacklevel=stacklevel,
            )


def _some(weight: Any, count: int) -> tf.Tensor:
    """Picks values from all over a weight, at most so many."""
    values = tf.reshape(tf.convert_to_tensor(raw(weight)), [-1])
    return tf.cast(values[:: -(-values.shape[0] // count)], tf.float32)
