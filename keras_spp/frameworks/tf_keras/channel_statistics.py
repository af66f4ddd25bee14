"""Statistics of channels, given back to them after something has been taken from the network."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

FEW = 32  # positions and samples of which statistics would say too little


class ChannelStatistics:
    """Gives each channel the mean and the standard deviation that it had in the dense network.

    Until the first `replay` it records what comes by. From then on it restores that, call by call
    in the same order.
    """

    def __init__(self) -> None:
        self._recorded: list[tuple[tf.Tensor, tf.Tensor]] = []  # means, deviations
        self._wanted: Iterator[tuple[tf.Tensor, tf.Tensor]] | None = None

    def replay(self) -> None:
        """Takes the next call for the first one that was recorded."""
        self._wanted = iter(self._recorded)

    def restored(self, x: tf.Tensor, axis: int) -> tf.Tensor:
        """Returns a tensor with the statistics that were recorded; itself while they are recorded.

        Args:
            x: A tensor of a static shape. One of integers, or with few elements in each channel,
                passes as it is.
            axis: The axis of its channels.
        """
        others = [other for other in range(len(x.shape)) if other != axis % len(x.shape)]
        if not x.dtype.is_floating or np.prod([x.shape[other] for other in others]) < FEW:
            return x
        values = tf.cast(x, tf.float32)
        mean, variance = tf.nn.moments(values, others, keepdims=True)
        deviation = tf.sqrt(variance)
        if self._wanted is None:
            self._recorded.append((mean, deviation))
            return x
        wanted, spread = next(self._wanted)
        values = (values - mean) * tf.math.divide_no_nan(spread, deviation) + wanted
        return tf.cast(values, x.dtype)
