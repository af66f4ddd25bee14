"""Training on several devices, which has not been tried with Keras 3: refused in one sentence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_spp.frameworks.keras3 import private


def require_copies(model: Any = None) -> None:
    """Checks that a model is, or will be, trained on one device.

    Args:
        model: The model; None for what is made in the present scope.

    Raises:
        ValueError: If it is not, or in the NNX mode of JAX.
    """
    if private.uses_nnx():
        raise ValueError(
            "`model` is trained in the NNX mode of JAX, which passes by what prunes: leave "
            "KERAS_NNX_ENABLED unset."
        )
    if keras.distribution.distribution() is not None or private.replicas(model) > 1:
        raise ValueError(
            "`model` is trained on several devices, which is not supported for Keras 3: train it "
            "on one, or rebuild it with tf_keras for tf.distribute.MirroredStrategy."
        )


def require_one_process(model: Any, argument: str) -> None:
    """Does nothing: there is one."""


def require_alike(model: Any, numbers: Callable[[], Sequence[int]]) -> None:
    """Does nothing: there is one replica."""


def checksum(model: Any) -> int:
    """Returns 0: there is nothing to compare with."""
    return 0
