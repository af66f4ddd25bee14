"""`spp.reestimate_batch_norm`: statistics that fit the network as it is."""

from __future__ import annotations

from typing import Any

from keras_spp import frameworks
from keras_spp.core.kinds import is_a
from keras_spp.frameworks.data import batches, require_finite
from keras_spp.frameworks.interface import Model
from keras_spp.rules.channelwise import BATCH_NORMALIZATIONS
from keras_spp.util.checks import check_integer


def reestimate_batch_norm(model: Model, data: Any, most: int | None = 50) -> Model:
    """Replaces the moving statistics of batch normalisation by averages over some batches.

    Statistics gathered while masks were sampled, or before channels were removed, do not fit the
    network that is evaluated. Every batch passes once through the network with the weights of
    inference, each normalisation using the batch's own statistics as in training; their averages
    become the moving mean and variance (as in Wu and Johnson, "Rethinking 'Batch' in BatchNorm",
    2021, section 3). No other variable changes, and nothing is trained.

    Args:
        model: A functional or Sequential model of tf_keras or Keras 3: dense, pruned or shrunk.
        data: A `tf.data.Dataset` of batches like those of training (augmented, and of the same
            size), another iterable of batches, an array of samples, or a function without
            arguments that returns such data.
        most: Use at most so many batches; None for all.

    Returns:
        The same model, its statistics changed in place.

    Raises:
        TypeError: If `model` is no model of either Keras or `data` no data.
        ValueError: If `data` is empty or not finite, `most` is less than 1, or `model` is wrapped
            for quantization.

    Example:
        >>> import numpy as np, tf_keras as keras
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.BatchNormalization()])
        >>> _ = reestimate_batch_norm(model, np.full((8, 3), 5.0))
        >>> model.layers[0].moving_mean.numpy()
        array([5., 5., 5.], dtype=float32)
    """
    framework = frameworks.of(model)
    if most is not None:
        check_integer("most", most, 1, "None or ")
    if (wrapped := framework.stage(model)) and wrapped.quantized:
        raise ValueError(
            f"`model` {model.name!r} is {wrapped.state} (layer {wrapped.layer!r}): re-estimate the "
            f"statistics before quantize_model."
        )
    statistics = {
        id(layer): framework.BatchStatistics(layer)
        for layer in framework.layers(model)
        if is_a(layer, *BATCH_NORMALIZATIONS) and not getattr(layer, "renorm", False)
    }
    hooks = {number: entry.hook for number, entry in statistics.items()}
    probe = framework.Probe(model, hooks=lambda layer: hooks.get(id(layer)))
    for inputs in batches(data, most, "data"):
        require_finite(inputs, "data")
        probe.call(inputs)
    for entry in statistics.values():
        entry.assign()
    return model
