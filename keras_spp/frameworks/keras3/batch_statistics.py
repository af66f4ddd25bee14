"""The statistics that a batch normalisation sees."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_spp.frameworks.keras3.variables import read, write

ops = keras.ops


class BatchStatistics:
    """Means and variances of the batches that one layer has normalised.

    Args:
        layer: A batch normalisation.
    """

    def __init__(self, layer: keras.layers.BatchNormalization) -> None:
        self.layer = layer
        self.means: list[np.ndarray] = []
        self.variances: list[np.ndarray] = []

    def hook(self, inputs: Any, _: Any) -> Any:
        """Takes the statistics of a batch, and normalises with them, as a hook of a `Probe`."""
        layer, rank = self.layer, len(inputs.shape)
        others = [axis for axis in range(rank) if axis != layer.axis % rank]
        x = ops.cast(inputs, "float32")
        mean, variance = ops.moments(x, others, keepdims=True)
        shape = layer.moving_mean.shape
        self.means.append(np.reshape(ops.convert_to_numpy(mean), shape))
        self.variances.append(np.reshape(ops.convert_to_numpy(variance), shape))
        y = (x - mean) * ops.rsqrt(variance + layer.epsilon)
        if layer.scale:
            y = y * np.reshape(read(layer.gamma), mean.shape)
        if layer.center:
            y = y + np.reshape(read(layer.beta), mean.shape)
        return ops.cast(y, inputs.dtype)

    def assign(self) -> None:
        """Writes the averages into the layer."""
        if self.means:
            write(self.layer.moving_mean, np.mean(self.means, axis=0))
            write(self.layer.moving_variance, np.mean(self.variances, axis=0))
