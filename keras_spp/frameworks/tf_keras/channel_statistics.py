"""Statistics of channels of TensorFlow's tensors."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from keras_spp.frameworks import channel_statistics
from keras_spp.frameworks.channel_statistics import Moments


class ChannelStatistics(channel_statistics.ChannelStatistics):
    """Gives each channel the mean and the standard deviation that it had in the dense network."""

    def is_floating(self, x: tf.Tensor) -> bool:
        """Tells whether a tensor is of floats."""
        return x.dtype.is_floating

    def moments(self, x: tf.Tensor, axes: Sequence[int]) -> Moments:
        """Returns means and deviations over axes, which stay with size 1, in float32."""
        mean, variance = tf.nn.moments(tf.cast(x, tf.float32), axes, keepdims=True)
        return mean, tf.sqrt(variance)

    def moved(self, x: tf.Tensor, moments: Moments, wanted: Moments) -> tf.Tensor:
        """Returns a tensor of these moments with others, in its own type."""
        (mean, deviation), (wanted_mean, spread) = moments, wanted
        values = tf.cast(x, tf.float32)
        values = (values - mean) * tf.math.divide_no_nan(spread, deviation) + wanted_mean
        return tf.cast(values, x.dtype)
