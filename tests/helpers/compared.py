"""Models of either Keras, compared by what they compute for random inputs."""

import numpy as np

from keras_spp import frameworks
from keras_spp.util.nest import flatten


def inputs_for(model, seed=1, batch=3):
    """Random inputs, one array per model input."""
    random = np.random.default_rng(seed)
    return [
        random.normal(size=(batch, *tensor.shape[1:])).astype("float32") for tensor in model.inputs
    ]


def outputs(model, inputs):
    """What a model computes in inference, flat."""
    read = frameworks.of(model).read
    return [read(tensor) for tensor in flatten(model(inputs, training=False))]


def relative_error(model, other, seed=1):
    """Largest difference of any output, relative to the largest value of that output."""
    inputs = inputs_for(model, seed)
    inputs = inputs[0] if len(inputs) == 1 else inputs
    return max(
        float(np.abs(a - b).max() / max(np.abs(a).max(), 1e-6))
        for a, b in zip(outputs(model, inputs), outputs(other, inputs), strict=True)
    )
