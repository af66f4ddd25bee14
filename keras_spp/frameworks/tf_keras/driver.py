"""The interface of wrappers to the object that moves their probabilities in training steps."""

from __future__ import annotations

from typing import Any, Protocol

import tensorflow as tf


class Driver(Protocol):
    """Moves the probabilities of a model's wrappers: a `keras_spp.training.pruner.Pruner`.

    Attributes:
        planned: Whether it is known how often an update is due.
    """

    planned: bool

    @property
    def optimizer(self) -> Any:
        """The optimizer whose steps count; None if there is none."""

    def counts_steps(self) -> bool:
        """Tells whether there is an optimizer whose steps count."""

    def clock(self) -> tf.Tensor:
        """Tells the training step, scalar int64; valid inside a step too."""

    def move(self) -> None:
        """Moves all probabilities if an update is due; called in each pass by the conductor."""
