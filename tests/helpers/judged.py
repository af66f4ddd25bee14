"""Networks for allocations to judge, of which layers matter differently."""

import numpy as np

import keras_spp as spp
from keras_spp import frameworks
from keras_spp.allocation.distortion import Distortion
from keras_spp.core.groups import Groups
from tests.helpers.both_keras import L, array, keras
from tests.helpers.random_weights import randomize

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def net(quiet="first"):
    """Layers of equal cost; half of the quiet one's channels are hardly read."""
    x = keras.Input((8, 8, 3))
    y = L.Conv2D(16, 3, padding="same", activation="relu", name="first")(x)
    y = L.Conv2D(16, 3, padding="same", activation="relu", name="second")(y)
    y = L.Conv2D(16, 3, padding="same", activation="relu", name="third")(y)
    y = L.Conv2D(16, 3, padding="same", activation="relu", name="last")(y)
    model = randomize(keras.Model(x, L.Dense(5)(L.GlobalAveragePooling2D()(y))))
    readers = {"first": "second", "second": "third", "third": "last"}
    reader = model.get_layer(readers[quiet])
    kernel = array(reader.kernel).copy()
    kernel[:, :, ::2] *= 1e-3
    reader.kernel.assign(kernel)
    return model


def data(model=None):
    """Images, and what the model makes of them as targets: pruning cannot be a gain."""
    import tensorflow as tf

    x = np.random.default_rng(0).normal(size=(64, 8, 8, 3)).astype("float32")
    arrays = x if model is None else (x, model.predict(x, verbose=0).argmax(-1))
    return tf.data.Dataset.from_tensor_slices(arrays).batch(16)


def goals(pruned):
    sets = spp.Pruner(pruned).sets
    return dict(zip(spp.Pruner(pruned).names, sets.goal.tolist(), strict=True))


def measured(model, x, granularity="channel"):
    """The groups, and what tells how much goals change."""
    groups = Groups(frameworks.of(model).label(model), granularity)
    return groups, Distortion(model, groups, x, 256)


def narrow(seed, activation="relu"):
    """A small network in which layers matter differently."""
    random = np.random.default_rng(seed)
    layers = [L.Conv2D(int(n), 3, activation=activation) for n in random.integers(4, 12, 3)]
    return randomize(
        keras.Sequential(
            [keras.Input((10, 10, 3)), *layers, L.GlobalAveragePooling2D(), L.Dense(4)]
        )
    )


def images(seed, count=64):
    return np.random.default_rng(seed).normal(size=(count, 10, 10, 3)).astype("float32")
