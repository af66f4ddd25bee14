"""The statistics that a batch normalisation sees."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tf_keras as keras


class BatchStatistics:
    """Means and variances of the batches that one layer has normalised.

    Args:
        layer: A batch normalisation.
    """

    def __init__(self, layer: keras.layers.BatchNormalization) -> None:
        self.layer = layer
        self.means: list[np.ndarray] = []
        self.variances: list[np.ndarray] = []

    def hook(self, inputs: tf.Tensor, _: tf.Tensor) -> tf.Tensor:
        """Takes the statistics of a batch, and normalises with them, as a hook of a `Probe`."""
        layer, rank = self.layer, len(inputs.shape)
        axes = {axis % rank for axis in tf.nest.flatten(layer.axis)}
        others = [axis for axis in range(rank) if axis not in axes]
        x = tf.cast(inputs, layer.moving_mean.dtype)
        mean, variance = tf.nn.moments(x, others, keepdims=True)
        self.means.append(np.reshape(mean, layer.moving_mean.shape))
        self.variances.append(np.reshape(variance, layer.moving_mean.shape))
        beta = tf.reshape(layer.beta, mean.shape) if layer.center else None
        gamma = tf.reshape(layer.gamma, mean.shape) if layer.scale else None
        y = tf.nn.batch_normalization(x, mean, variance, beta, gamma, layer.epsilon)
        return tf.cast(y, inputs.dtype)

    def assign(self) -> None:
        """Writes the averages into the layer."""
        if self.means:
            self.layer.moving_mean.assign(np.mean(self.means, axis=0))
            self.layer.moving_variance.assign(np.mean(self.variances, axis=0))
