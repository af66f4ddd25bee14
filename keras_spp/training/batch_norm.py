"""`spp.reestimate_batch_norm`: statistics that fit the network as it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_spp import frameworks
from keras_spp.core.kinds import is_a
from keras_spp.frameworks.data import batches
from keras_spp.frameworks.tf_keras.graph import layers
from keras_spp.frameworks.tf_keras.probe import Hook, Probe
from keras_spp.frameworks.tf_keras.stages import stage
from keras_spp.rules.channelwise import BATCH_NORMALIZATIONS
from keras_spp.util.checks import check_integer


def reestimate_batch_norm(model: keras.Model, data: Any, most: int | None = 50) -> keras.Model:
    """Replaces the moving statistics of batch normalisation by averages over some batches.

    Statistics gathered while masks were sampled, or before channels were removed, do not fit the
    network that is evaluated. Every batch passes once through the network with the weights of
    inference, each normalisation using the batch's own statistics as in training; their averages
    become the moving mean and variance (as in Wu and Johnson, "Rethinking 'Batch' in BatchNorm",
    2021, section 3). No other variable changes, and nothing is trained.

    Args:
        model: A functional or Sequential tf_keras model: dense, pruned or shrunk.
        data: A `tf.data.Dataset` of batches like those of training (augmented, and of the same
            size), another iterable of batches, an array of samples, or a function without
            arguments that returns such data.
        most: Use at most so many batches; None for all.

    Returns:
        The same model, its statistics changed in place.

    Raises:
        TypeError: If `model` is no tf_keras model or `data` no data.
        ValueError: If `data` is empty, `most` is less than 1, or `model` is wrapped for
            quantization.

    Example:
        >>> import numpy as np, tf_keras as keras
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.BatchNormalization()])
        >>> _ = reestimate_batch_norm(model, np.full((8, 3), 5.0))
        >>> model.layers[0].moving_mean.numpy()
        array([5., 5., 5.], dtype=float32)
    """
    frameworks.of(model)
    if most is not None:
        check_integer("most", most, 1, "None or ")
    if (wrapped := stage(model)) and wrapped.quantized:
        raise ValueError(
            f"`model` {model.name!r} is {wrapped.state} (layer {wrapped.layer!r}): re-estimate the "
            f"statistics before quantize_model."
        )
    found = {id(layer): _Statistics(layer) for layer in layers(model) if _is_plain(layer)}
    probe = Probe(model, hooks=lambda layer: found[id(layer)].hook if id(layer) in found else None)
    for inputs in batches(data, most, "data"):
        probe.model(inputs, training=False)
    for statistics in found.values():
        statistics.assign()
    return model


def _is_plain(layer: keras.layers.Layer) -> bool:
    return is_a(layer, *BATCH_NORMALIZATIONS) and not layer.renorm


class _Statistics:
    """Means and variances that one layer has seen."""

    def __init__(self, layer: keras.layers.BatchNormalization) -> None:
        self.layer = layer
        self.means: list[np.ndarray] = []
        self.variances: list[np.ndarray] = []

    @property
    def hook(self) -> Hook:
        """Takes the statistics of a batch, and normalises with them."""

        def hook(inputs: tf.Tensor, _: tf.Tensor) -> tf.Tensor:
            layer, rank = self.layer, len(inputs.shape)
            axes = {axis % rank for axis in tf.nest.flatten(layer.axis)}
            others = [axis for axis in range(rank) if axis not in axes]
            x = tf.cast(inputs, layer.moving_mean.dtype)
            mean, variance = tf.nn.moments(x, others, keepdims=True)
            self.means.append(np.reshape(mean, layer.moving_mean.shape))
            self.variances.append(np.reshape(variance, layer.moving_mean.shape))
            shape = mean.shape
            beta = tf.reshape(layer.beta, shape) if layer.center else None
            gamma = tf.reshape(layer.gamma, shape) if layer.scale else None
            y = tf.nn.batch_normalization(x, mean, variance, beta, gamma, layer.epsilon)
            return tf.cast(y, inputs.dtype)

        return hook

    def assign(self) -> None:
        """Writes the averages into the layer."""
        if self.means:
            self.layer.moving_mean.assign(np.mean(self.means, axis=0))
            self.layer.moving_variance.assign(np.mean(self.variances, axis=0))
