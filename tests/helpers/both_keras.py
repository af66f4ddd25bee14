"""A fixture for what must hold for the models of either Keras; conftest.py files import it."""

import keras as keras3
import pytest
import tf_keras


@pytest.fixture(params=[tf_keras, keras3], ids=["tf_keras", "keras3"])
def keras(request):
    """One Keras after the other, with the same weights and names of layers in every test."""
    request.param.utils.set_random_seed(0)
    yield request.param
    request.param.backend.clear_session()
