"""Training on several devices or machines: every replica holds the same copy of all that decides.

Replicas are never told what to prune. They compute it, each for itself, from variables that are
the same everywhere, so it has to be sure that they are.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_spp.frameworks.tf_keras.variables import host, raw

# They keep one copy of a variable, which replicas change whenever they get to it.
SHARING = (
    tf.distribute.ParameterServerStrategy,
    tf.distribute.experimental.CentralStorageStrategy,
)

# What replicas must have in common when training begins, and what to do if they have not.
COMMON = {
    "groups to prune or schedules": "give spp.prune the same model, data and arguments everywhere, "
    "or call it once and load the saved model everywhere",
    "weights": "load the same file everywhere",
    "training steps made": "resume all of them, from one folder that all can read",
    "training steps to come": "give all of them as many batches",
}


def require_copies(model: keras.Model | None = None) -> None:
    """Raises ValueError if replicas have no variables of their own.

    Args:
        model: The model whose strategy is meant; None for that of the present scope.
    """
    strategy = tf.distribute.get_strategy() if model is None else model.distribute_strategy
    if isinstance(strategy, SHARING):
        raise ValueError(
            f"The distribution strategy must be MirroredStrategy or MultiWorkerMirroredStrategy "
            f"but is {type(strategy).__name__.removesuffix('V2')}, whose replicas share one copy "
            f"of the pruning probabilities and would change it while others read it."
        )


def require_one_process(model: keras.Model, argument: str) -> None:
    """Checks that one process makes all of a model's replicas.

    Raises:
        ValueError: If several do, each with its own rounding.
    """
    if isinstance(model.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy):
        raise ValueError(
            f"`{argument}` must be None under a MultiWorkerMirroredStrategy, whose workers would "
            f"compute different weights: compensate before or after that training."
        )


def require_alike(model: keras.Model, numbers: Callable[[], Sequence[int]]) -> None:
    """Compares what the workers of a MultiWorkerMirroredStrategy are about to train.

    All of them have to call this, as they exchange what is compared.

    Args:
        model: The model.
        numbers: Gives a number for each thing in `COMMON`, below 2**63.

    Raises:
        ValueError: If one differs, in which case all raise it.
    """
    strategy = model.distribute_strategy
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return  # one process has made all replicas
    mine = [list(numbers())]
    everyone = strategy.gather(strategy.run(lambda: tf.constant(mine, tf.int64)), axis=0).numpy()
    for (what, advice), values in zip(COMMON.items(), everyone.T, strict=True):
        if (values != values[0]).any():
            others = np.flatnonzero(values != values[0]).tolist()
            raise ValueError(
                f"`model` must be the same on all replicas when training begins but the {what} of "
                f"replicas {others} differ from those of replica 0: {advice}."
            )


def checksum(model: keras.Model) -> int:
    """Computes a number for the bits of all variables that replicas share."""
    total = 0
    for variable in map(raw, model.weights):
        # Those are means of values that replicas have on their own: batch normalisation's.
        if variable.synchronization != tf.VariableSynchronization.ON_READ:
            total = zlib.crc32(host(variable).tobytes(), total)
    return total
