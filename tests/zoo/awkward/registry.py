"""How awkward models are registered, what they are built of, and inputs for them."""

import functools
from types import SimpleNamespace

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tests.zoo.models import L, randomize

MODELS = {}  # the functions that build them, by name
OWN = {}  # the classes of the user's own that a small model needs to be loaded, by name
UNLOADABLE = {}  # why Keras itself cannot load them once they are saved


def model(function):
    """Registers a function that returns a model."""
    assert function.__name__ not in MODELS, f"{function.__name__} would replace another model"
    MODELS[function.__name__] = function
    return function


def on(*shape, **options):
    """Registers a function from one input of this shape to the outputs."""

    def register(function):
        @functools.wraps(function)
        def build():
            x = keras.Input(shape or (16, 16, 3), **options)
            return keras.Model(x, function(x), name=function.__name__)

        return model(build)

    return register


def own(*classes):
    """Notes which classes of the user's own a registered model needs to be loaded."""

    def note(function):
        OWN[function.__name__] = {kind.__name__: kind for kind in classes}
        return function

    return note


def unloadable(reason):
    """Notes what keeps Keras from loading a registered model once it is saved."""

    def note(function):
        UNLOADABLE[function.__name__] = reason
        return function

    return note


def randomized(model, seed=0):
    """Random values for all weights that are no counters."""
    weights = [w for w in model.weights if w.dtype.is_floating and "stddev" not in w.name]
    randomize(SimpleNamespace(weights=weights), seed)
    for layer in model.layers:
        if hasattr(layer, "finalize_state"):  # derives tensors from its weights
            layer.finalize_state()
    return model


def sample(model, seed=1, batch=4):
    """Random inputs in the structure of the model's own; open sizes are 32, integers below 10."""
    random = np.random.default_rng(seed)

    def one(tensor):
        shape = [size or 32 for size in tensor.shape[1:]]
        shape = [tensor.shape[0] or batch, *shape]
        if tensor.dtype.is_integer:
            return random.integers(0, 10, shape).astype(tensor.dtype.name)
        return random.normal(size=shape).astype(tensor.dtype.name)

    return tf.nest.map_structure(one, model.input)


def conv(x, filters, kernel=3, **options):
    return L.Conv2D(filters, kernel, padding="same", **options)(x)


def unit(x, filters, kernel=3, **options):
    """Convolution, normalisation, activation."""
    return L.ReLU()(L.BatchNormalization()(conv(x, filters, kernel, use_bias=False, **options)))


def head(x, units=4, **options):
    return L.Dense(units, **options)(L.GlobalAveragePooling2D()(x))


def sub(shape, function, **options):
    """A model to nest."""
    x = keras.Input(shape)
    return keras.Model(x, function(x), **options)
