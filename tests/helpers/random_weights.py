"""Random weights, normalisation statistics and masks, far from what fresh layers start with."""

import warnings
from collections.abc import Iterable

import numpy as np
import tensorflow as tf
import tf_keras as keras

import keras_spp as spp
from keras_spp.export.options import IO_TYPES


def randomize(model: keras.Model, seed: int = 0) -> keras.Model:
    """Random weights that keep the signal alive, with normalisation far from the identity."""
    assign(model.weights, seed)
    return model


def assign(variables: Iterable[tf.Variable], seed: int = 0, gain: float = 2.0) -> None:
    """The same for a list of variables; a `gain` above He's makes up for what pruning takes."""
    random = np.random.default_rng(seed)
    for variable in variables:
        shape = tuple(variable.shape)
        if "variance" in variable.name:
            value = random.uniform(0.1, 1.0, shape)
        elif "gamma" in variable.name:
            value = random.uniform(0.7, 1.7, shape)
        elif len(shape) > 1:
            inputs = shape[:-2] if "depthwise" in variable.name else shape[:-1]
            value = random.normal(size=shape) * np.sqrt(gain / np.prod(inputs))
        else:
            value = random.normal(scale=0.3, size=shape)
        variable.assign(value)


def random_probabilities(pruned: keras.Model, seed: int = 0, settled: bool = False) -> spp.Pruner:
    """Gives every set as many pruned groups as its goal, and random p to the others."""
    random = np.random.default_rng(seed)
    pruner = spp.Pruner(pruned)
    p = np.zeros(len(pruner.sets.of_group), np.float32)
    for number, goal in enumerate(pruner.sets.goal):
        members = np.flatnonzero(pruner.sets.of_group == number)
        if not settled:
            p[members] = random.uniform(0, 0.9, len(members)) * random.integers(0, 2, len(members))
        p[random.permutation(members)[:goal]] = 1
    pruner.set_probabilities(p)
    return pruner


def shrunk_at_random(pruned: keras.Model, seed: int = 0) -> keras.Model:
    """What is left when every set has lost as many random groups as its goal."""
    random_probabilities(pruned, seed, settled=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no callback has counted these groups as pruned
        return spp.shrink(pruned)


def ranges(model: keras.Model, quantization: str) -> np.ndarray | None:
    """Random samples for `spp.export_tflite`, where the quantization asks for some."""
    samples = np.random.default_rng(0).normal(size=(4, *model.input_shape[1:]))
    return samples.astype(np.float32) if quantization in IO_TYPES else None


def calibrate(model: keras.Model, x: np.ndarray) -> None:
    """Gives every batch normalisation the mean, and four times the deviation, of the batch `x`.

    With arbitrary statistics a deep network's signal fades, or grows until rounding is all that
    is left; in both cases comparing outputs says little. With these it is as in a trained one.
    Four times, because then fewer values change sides at the kinks of the activations, which is
    what amplifies rounding from layer to layer.
    """
    layers = model._flatten_layers()
    norms = [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]
    if not norms:
        return

    def call(norm, inputs):
        axes = [axis for axis in range(inputs.shape.rank) if axis not in norm.axis]
        mean, variance = tf.nn.moments(inputs, axes)
        norm.moving_mean.assign(mean)
        norm.moving_variance.assign(16 * variance)
        return type(norm).call(norm, inputs, training=False)

    for norm in norms:
        norm.call = lambda inputs, norm=norm, **_: call(norm, inputs)
    model(x, training=False)
    for norm in norms:
        del norm.call
