"""A layer's outputs are the products of rows and a matrix, whatever its geometry."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from hypothesis import given
from hypothesis import strategies as st

from keras_spp.compensation.kernels import at_positions, kernel_of
from keras_spp.rules.channelwise import channel_axis
from tests.zoo.models import L

SIZES = {1: (9,), 2: (7, 6), 3: (6, 5, 7)}  # of kernels up to 3, which may be dilated by 2


@st.composite
def geometries(draw, rank, paddings=("valid", "same")):
    strided = draw(st.booleans())
    return {
        "kernel_size": tuple(draw(st.integers(1, 3)) for _ in range(rank)),
        "strides": draw(st.integers(1, 3)) if strided else 1,
        "dilation_rate": 1 if strided else draw(st.integers(1, 2)),
        "padding": draw(st.sampled_from(paddings)),
        "use_bias": draw(st.booleans()),
    }


@st.composite
def layers(draw):
    """A layer and the shape of its input without the batch."""
    rank = draw(st.integers(1, 3))
    kind = draw(st.sampled_from(["Conv", "grouped", "Transpose", "Depthwise", "Separable"]))
    rank = min(rank, 2) if kind in ("grouped", "Depthwise", "Separable") else rank
    paddings = ("valid", "same", "causal") if kind == "Conv" and rank == 1 else ("valid", "same")
    options = draw(geometries(rank, paddings))
    if rank == 3:  # TensorFlow does not dilate it on a CPU, and says nothing
        options["dilation_rate"] = 1
    shape = (*SIZES[rank], 4)
    if kind == "Conv":
        return getattr(L, f"Conv{rank}D")(6, **options), shape
    if kind == "grouped":
        groups = draw(st.sampled_from([2, 4]))
        return getattr(L, f"Conv{rank}D")(8, groups=groups, **options), shape
    if kind == "Transpose":
        return getattr(L, f"Conv{rank}DTranspose")(5, **{**options, "dilation_rate": 1}), shape
    if kind == "Depthwise":
        # TensorFlow's depthwise kernels take one stride and one dilation for both axes.
        layer = getattr(L, f"DepthwiseConv{rank}D")
        size = options.pop("kernel_size") if rank == 2 else options.pop("kernel_size")[0]
        return layer(size, depth_multiplier=draw(st.integers(1, 2)), **options), shape
    layer = getattr(L, f"SeparableConv{rank}D")
    return layer(6, depth_multiplier=draw(st.integers(1, 2)), **options), shape


def assert_products(layer, x, positions=7):
    y = layer(x).numpy()
    random = np.random.default_rng(0)
    for weight in layer.weights:  # a bias too
        weight.assign(random.normal(size=weight.shape))
    y = layer(x).numpy()
    kernel = kernel_of(layer)
    sizes = kernel.outputs(y.shape)
    at = random.integers(0, np.prod(sizes, dtype=int), (len(x), positions))
    rows = kernel.rows(x, sizes, at)
    weights = kernel.variable.numpy()
    matrix = kernel.matrix(weights)
    assert rows.shape[1:] == matrix.shape[:2] and kernel.inputs() == matrix.shape[1]
    outputs = np.einsum("rgd,gdo->rgo", rows, matrix).reshape(len(rows), -1)
    if kernel.bias is not None:
        outputs = outputs + kernel.bias.numpy()
    expected = at_positions(y, at, channel_axis(layer))
    np.testing.assert_allclose(outputs, expected, 1e-4, 1e-4, err_msg=str(layer.get_config()))
    np.testing.assert_array_equal(kernel.kernel(matrix), weights)


@given(layers())
def test_any_convolution(drawn):
    layer, shape = drawn
    assert_products(layer, np.random.default_rng(1).normal(size=(2, *shape)).astype("float32"))


@pytest.mark.parametrize("shape", [(5,), (4, 5), (2, 3, 5)])
def test_dense_layers_work_on_the_last_axis(shape):
    x = np.random.default_rng(1).normal(size=(3, *shape)).astype("float32")
    assert_products(L.Dense(6), x)


def test_channels_first():
    x = np.random.default_rng(1).normal(size=(2, 3, 8, 7)).astype("float32")
    layer = L.Conv2D(4, 3, strides=2, padding="same", data_format="channels_first")
    layer.build(x.shape)
    kernel = kernel_of(layer)
    at = np.arange(16).reshape(1, 16).repeat(2, 0)
    rows = kernel.rows(x, (4, 4), at)
    y = tf.nn.conv2d(x.transpose(0, 2, 3, 1), layer.kernel, 2, "SAME").numpy()
    products = np.einsum("rgd,gdo->rgo", rows, kernel.matrix(layer.kernel.numpy()))
    np.testing.assert_allclose(products.reshape(y.shape), y, 1e-4, 1e-4)


def test_output_padding_of_a_transposed_convolution():
    x = np.random.default_rng(1).normal(size=(2, 5, 4, 3)).astype("float32")
    assert_products(L.Conv2DTranspose(4, 3, strides=2, padding="same", output_padding=0), x)
    assert_products(L.Conv2DTranspose(4, 4, strides=3, output_padding=1), x)


@pytest.mark.parametrize("layer", [L.LSTM(3), L.BatchNormalization(), L.Embedding(4, 2), L.ReLU()])
def test_other_layers_have_no_such_kernel(layer):
    assert kernel_of(layer) is None


def test_a_layer_of_a_users_with_a_known_name_has_none():
    class Dense(keras.layers.Layer):
        kernel = None

    assert kernel_of(Dense()) is None
