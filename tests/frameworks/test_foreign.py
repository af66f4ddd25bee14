import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from keras_spp.frameworks.foreign import is_misfit, is_module, is_of_layer, is_tensor


def test_tensors_with_values_are_recognised():
    assert is_tensor(tf.ones(3))
    for other in (np.ones(3), [1], tf.data.Dataset.range(3), keras.Input((3,)), tf.ones):
        assert not is_tensor(other), other


def test_models_and_layers_of_either_keras_are_recognised():
    for module in (
        keras.layers.Dense(1),
        tf_keras.layers.Dense(1),
        keras.Sequential(),
        tf.Module(),
    ):
        assert is_module(module), module
    assert not is_module(keras.ops.relu) and not is_module(lambda: None)


@pytest.mark.parametrize(
    ("error", "misfit", "of_layer"),
    [
        (ValueError(), True, True),
        (TypeError(), True, True),
        (tf.errors.InvalidArgumentError(None, None, ""), True, True),
        (tf.errors.ResourceExhaustedError(None, None, ""), False, True),
        (KeyError(), False, False),
    ],
)
def test_what_layers_raise_is_told_from_what_they_do_not(error, misfit, of_layer):
    assert (is_misfit(error), is_of_layer(error)) == (misfit, of_layer)
