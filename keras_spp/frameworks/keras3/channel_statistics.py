"""Statistics of channels of the tensors of Keras 3's backend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_spp.frameworks import channel_statistics
from keras_spp.frameworks.channel_statistics import Moments


class ChannelStatistics(channel_statistics.ChannelStatistics):
    """Gives each channel the mean and the standard deviation that it had in the dense network."""

    def is_floating(self, x: Any) -> bool:
        """Tells whether a tensor is of floats."""
        return keras.backend.is_float_dtype(keras.backend.standardize_dtype(x.dtype))

    def moments(self, x: Any, axes: Sequence[int]) -> Moments:
        """Returns means and deviations over axes, which stay with size 1, in float32."""
        mean, variance = keras.ops.moments(keras.ops.cast(x, "float32"), axes, keepdims=True)
        return mean, keras.ops.sqrt(variance)

    def moved(self, x: Any, moments: Moments, wanted: Moments) -> Any:
        """Returns a tensor of these moments with others, in its own type."""
        (mean, deviation), (wanted_mean, spread) = moments, wanted
        values = keras.ops.cast(x, "float32") - mean
        values = values * keras.ops.divide_no_nan(spread, deviation) + wanted_mean
        return keras.ops.cast(values, x.dtype)
