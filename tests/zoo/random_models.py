"""Random models of whichever Keras is running."""

import importlib

from tests.helpers.both_keras import keras

BUILDERS = {"tf_keras": "tests.zoo.models", "keras": "tests.zoo.keras3_models"}


def random_model(seed, steps=6):
    """A random functional model with random weights; the seed decides everything."""
    return importlib.import_module(BUILDERS[keras.__name__]).random_model(seed, steps)
