import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import keras_spp as spp
from keras_spp.frameworks.tf_keras.function_layers import as_layer
from tests.zoo.models import L, random_probabilities, relative_error


def kernel(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (lambda y: tf.nn.conv2d(y, kernel(3, 3, 8, 6), 1, "SAME"), L.Conv2D),
        (lambda y: tf.nn.conv2d(y, kernel(3, 3, 4, 6), [1, 2, 2, 1], "VALID"), L.Conv2D),
        (lambda y: keras.backend.conv2d(y, tf.ones((1, 1, 8, 6)), strides=(2, 2)), L.Conv2D),
        (lambda y: tf.nn.conv1d(y[:, 0], kernel(3, 8, 6), 1, "SAME"), L.Conv1D),
        (lambda y: tf.nn.conv3d(y[:, None], kernel(1, 3, 3, 8, 6), [1] * 5, "SAME"), L.Conv3D),
        (
            lambda y: tf.nn.depthwise_conv2d(y, kernel(3, 3, 8, 2), [1, 1, 1, 1], "SAME"),
            L.DepthwiseConv2D,
        ),
        (lambda y: tf.matmul(y, kernel(8, 6)), L.Dense),
    ],
)
def test_a_function_with_a_kernel_is_pruned_like_the_layer_that_it_is(function, kind):
    x = keras.Input((8, 8, 3))
    y = function(L.Conv2D(8, 3, padding="same", name="first")(x))
    model = keras.Model(x, L.Dense(3)(tf.nn.relu(y)))
    assert kind.__name__ in {row.type for row in spp.analyze(model)}
    pruned = spp.prune(model, pruning_ratio=0.5, round_to=1)
    assert relative_error(model, pruned) <= 1e-6
    random_probabilities(pruned)
    small = spp.shrink(pruned)
    assert small.get_layer("first").filters == 4
    assert relative_error(pruned, small) <= 2e-5


def transposed(function, *size, sizes=None, **options):
    """A function of a transposed convolution, with the size of its result as programs give it."""

    def call(y):
        shape = [tf.shape(y)[0], *(sizes or [2 * n for n in y.shape[1:-1]]), 6]
        return function(y, kernel(*size, 6, 8) / 9, shape, **options)

    return call


@pytest.mark.parametrize(
    "function",
    [
        transposed(tf.nn.conv2d_transpose, 3, 3, strides=2),
        transposed(tf.nn.conv2d_transpose, 2, 2, strides=[1, 2, 2, 1], padding="VALID"),
        transposed(tf.nn.conv2d_transpose, 3, 3, sizes=[15, 15], strides=2),
        transposed(tf.nn.conv2d_transpose, 4, 3, sizes=[15, 16], strides=2),
        transposed(tf.nn.conv2d_transpose, 3, 3, sizes=[17, 18], strides=2, padding="VALID"),
        transposed(tf.nn.conv2d_transpose, 1, 1, sizes=[22, 24], strides=3),
        transposed(tf.compat.v1.nn.conv2d_transpose, 3, 3, strides=(1, 2, 2, 1)),
        transposed(tf.nn.conv_transpose, 3, 3, strides=2),
        lambda y: tf.nn.conv2d_transpose(
            strides=2,
            filters=kernel(3, 3, 6, 8),
            input=y,
            output_shape=tf.stack([tf.shape(y)[0], 16, 16, 6]),
        ),
        lambda y: keras.backend.conv2d_transpose(
            y, tf.constant(kernel(3, 3, 6, 8)), (tf.shape(y)[0], 16, 16, 6), (2, 2), "same"
        ),
        lambda y: transposed(tf.nn.conv1d_transpose, 3, strides=2)(y[:, 0]),
        lambda y: transposed(tf.nn.conv3d_transpose, 3, 3, 3, strides=2)(y[:, None]),
    ],
)
def test_a_function_of_a_transposed_convolution_is_the_layer_of_the_same_size(function):
    x = keras.Input((8, 8, 3))
    y = function(L.Conv2D(8, 3, padding="same", name="first")(x))
    model = keras.Model(x, L.Dense(3)(tf.nn.relu(y)))
    pruned = spp.prune(model, pruning_ratio=0.5, round_to=1)
    assert relative_error(model, pruned) <= 1e-6
    assert "tf.compat.v1.shape" not in {layer.name.rsplit("_")[0] for layer in pruned.layers}
    random_probabilities(pruned, settled=True)
    small = spp.shrink(pruned)
    assert small.get_layer("first").filters == 4
    assert relative_error(pruned, small) <= 2e-5
    assert spp.analyze(model).macs > 2 * spp.analyze(small).macs


def test_a_loss_beside_the_outputs_stays_where_a_function_becomes_a_layer():
    x = keras.Input((8, 8, 3))
    y = L.Conv2D(8, 3, padding="same")(x)
    z = transposed(tf.nn.conv2d_transpose, 3, 3, strides=2)(y)
    model = keras.Model(x, L.Dense(3)(z))
    model.add_loss(tf.reduce_mean(tf.square(y)))
    pruned = spp.prune(model, pruning_ratio=0.5, round_to=1)
    assert len(pruned.losses) == len(model.losses) == 1


def test_only_a_variable_becomes_a_weight_that_trains():
    for value, trainable in ((kernel(1, 1, 3, 4), False), (tf.Variable(kernel(1, 1, 3, 4)), True)):
        x = keras.Input((8, 8, 3))
        op = keras.Model(x, tf.nn.conv2d(x, value, 1, "SAME")).layers[-1]
        layer, weight = as_layer(op)
        assert layer.trainable == trainable
        np.testing.assert_array_equal(weight, value)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: tf.nn.conv2d(x, tf.reshape(x, [2, 2, 4, 1]), 1, "SAME"),  # computed, not given
        lambda x: tf.nn.conv2d(x, kernel(1, 1, 4, 2), 1, [[0, 0], [1, 1], [1, 1], [0, 0]]),
        lambda x: tf.matmul(x, kernel(5, 4), transpose_b=True),
        lambda x: tf.matmul(kernel(4, 2), x),
        lambda x: tf.nn.conv2d_transpose(x, kernel(3, 3, 2, 4), [1, 4, 4, 2], 2, dilations=2),
        lambda x: tf.nn.conv2d_transpose(x, kernel(3, 3, 2, 4), tf.cast(x[0, 0, 0], "int32"), 1),
    ],
)
def test_what_is_no_layer_is_left_alone(function):
    x = keras.Input(batch_shape=(1, 2, 2, 4))
    for layer in keras.Model(x, function(x)).layers:
        assert as_layer(layer) is None


def test_a_kernel_that_two_functions_share_stays_shared():
    x = keras.Input((8, 8, 3))
    shared = tf.Variable(kernel(3, 3, 8, 8) / 8)
    y = L.Conv2D(8, 1)(L.Conv2D(12, 3, name="first")(x))
    y = tf.nn.conv2d(tf.nn.conv2d(y, shared, 1, "SAME"), shared, 1, "SAME")
    model = keras.Model(x, L.Dense(3)(y))
    pruned = spp.prune(model, pruning_ratio=0.5, round_to=1)
    random_probabilities(pruned)
    small = spp.shrink(pruned)
    assert small.get_layer("first").filters == 6
    assert relative_error(pruned, small) <= 2e-5


def test_keras_cvs_vgg16_whose_layers_come_from_another_keras():
    keras_cv = pytest.importorskip("keras_cv")
    backbone = keras_cv.models.VGG16Backbone(
        include_top=False, include_rescaling=True, input_shape=(32, 32, 3)
    )
    y = L.Dense(5)(L.GlobalAveragePooling2D()(backbone.output))
    model = keras.Model(backbone.input, y)
    pruned = spp.prune(model, pruning_ratio=0.5)
    random_probabilities(pruned)
    small = spp.shrink(pruned)
    assert len(pruned.trainable_weights) == 13 + 2
    assert relative_error(pruned, small) <= 2e-5
    assert spp.analyze(model).macs > 3.5 * spp.analyze(small).macs
