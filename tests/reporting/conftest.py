"""Models of either Keras, with a smaller one each."""

import numpy as np
import pytest

import keras_spp as spp
from tests.helpers.both_keras import keras  # noqa: F401


def network(keras, name="net"):  # noqa: F811
    """A network with a branch, and a layer that cannot be pruned."""
    L = keras.layers
    image = keras.Input((12, 12, 3))
    x = L.Conv2D(16, 3, activation="relu", name="first")(image)
    x = L.BatchNormalization(name="norm")(L.Conv2D(24, 3, name="second")(x))
    x = L.GlobalAveragePooling2D()(L.ReLU()(x))
    return keras.Model(image, L.Dense(4, name="logits")(x), name=name)


@pytest.fixture
def images():
    return np.random.default_rng(0).normal(size=(64, 12, 12, 3)).astype("float32")


@pytest.fixture
def dense(keras):  # noqa: F811
    return network(keras)


@pytest.fixture
def small(dense, images):
    return spp.compress(dense, images, pruning_ratio=0.5, epochs=0, verbose=0)
