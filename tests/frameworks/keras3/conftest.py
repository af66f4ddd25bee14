"""What the tests of Keras 3 models share."""

import keras
import pytest


@pytest.fixture(autouse=True)
def _fresh_session():
    """Makes weights and automatic names the same in whatever order the tests run."""
    keras.utils.set_random_seed(0)
    yield
    keras.backend.clear_session()


@pytest.fixture
def precision():
    """Sets the global precision for one test."""
    yield keras.mixed_precision.set_global_policy
    keras.mixed_precision.set_global_policy("float32")
