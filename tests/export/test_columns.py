import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from hypothesis import given
from hypothesis import strategies as st

import keras_spp as spp
from keras_spp.export import columns
from keras_spp.export.columns import PACKED, convolution_of, find_pruned
from keras_spp.export.gathered import packed
from keras_spp.frameworks.convolution import convolved_by
from tests.zoo.models import L


def pruned_layer(shape, rng, share=0.5, **options):
    """A built convolution that has lost about so many of its columns, and an input for it."""
    layer = L.Conv2D(bias_initializer="normal", **options)
    x = rng.normal(size=shape).astype("float32")
    layer(x)
    kernel = layer.kernel.numpy()
    kept = rng.random(kernel.shape[:3]) >= share
    kept.ravel()[rng.integers(kept.size)] = True  # one at least
    layer.kernel.assign(kernel * kept[..., None])
    return layer, x


@st.composite
def convolutions(draw):
    sizes = st.integers(1, 4)
    kernel = draw(st.tuples(sizes, sizes))
    strides = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    dilation = (1, 1) if strides != (1, 1) else draw(st.tuples(st.integers(1, 3), sizes))
    extent = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    image = [draw(st.integers(e, e + 7)) for e in extent]
    options = {
        "filters": draw(st.integers(1, 5)),
        "kernel_size": kernel,
        "strides": strides,
        "dilation_rate": dilation,
        "padding": draw(st.sampled_from(["same", "valid"])),
        "activation": draw(st.sampled_from([None, "relu"])),
    }
    shape = (draw(st.integers(1, 3)), *image, draw(st.integers(1, 6)))
    return shape, options, draw(st.floats(0, 1)), draw(st.integers(0, 2**16))


@given(convolutions(), st.sampled_from(PACKED))
def test_any_convolution_gives_the_same_without_its_pruned_columns(drawn, layout):
    shape, options, share, seed = drawn
    layer, x = pruned_layer(shape, np.random.default_rng(seed), share, **options)
    # In float64: TensorFlow's kernel for float32 is wrong for one input channel and one column of
    # outputs, with strides along the width.
    exact = L.Conv2D.from_config({**layer.get_config(), "dtype": "float64"})
    exact.build(x.shape)
    exact.set_weights(layer.get_weights())
    expected = exact(tf.cast(x, tf.float64)).numpy()
    with convolved_by({layer: packed(convolution_of(layer), layout)}):
        got = tf.function(layer)(x).numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5, err_msg=f"{drawn} {layout}")


@pytest.mark.parametrize("layout", PACKED)
@pytest.mark.parametrize(("strides", "padding"), [(1, "same"), (2, "same"), (2, "valid")])
def test_the_graph_has_fewer_multiplications_and_no_zeros(layout, strides, padding):
    options = {"filters": 8, "kernel_size": 3, "strides": strides, "padding": padding}
    layer, x = pruned_layer((1, 9, 9, 16), np.random.default_rng(0), 0.7, **options)
    with convolved_by({layer: packed(convolution_of(layer), layout)}):
        graph = tf.function(lambda x: layer(x)).get_concrete_function(x).graph
    (convolution,) = [op for op in graph.get_operations() if op.type == "Conv2D"]
    assert convolution.inputs[1].shape == (1, 1, convolution_of(layer).left.sum(), 8)
    kernel = tf.get_static_value(convolution.inputs[1])
    assert kernel.any(-1).all()
    gathers = [op for op in graph.get_operations() if op.type.startswith("Gather")]
    assert 0 < len(gathers) <= (9 if strides == 1 else 4)  # a stride's taps share windows


def test_neighbouring_channels_are_cut_out_instead_of_gathered():
    layer, x = pruned_layer((1, 6, 6, 8), np.random.default_rng(0), filters=4, kernel_size=3)
    kernel = np.ones((3, 3, 8, 4), "float32")
    kernel[:, 1:, :3] = kernel[0, 0] = 0  # all, the last five, or none of the channels
    layer.kernel.assign(kernel)
    for layout in PACKED:
        with convolved_by({layer: packed(convolution_of(layer), layout)}):
            graph = tf.function(lambda x: layer(x)).get_concrete_function(x).graph
        assert not [op for op in graph.get_operations() if op.type.startswith("Gather")]


def test_layers_compute_as_before_afterwards():
    layer, x = pruned_layer((1, 6, 6, 8), np.random.default_rng(0), filters=4, kernel_size=3)
    before = dict(vars(layer))
    with pytest.raises(ZeroDivisionError), convolved_by({layer: lambda inputs, kernel: 1 / 0}):
        layer(x)
    assert vars(layer).keys() == before.keys()


def test_only_convolutions_that_can_be_packed_are_found():
    class Own(L.Conv2D):
        pass

    x = keras.Input((8, 8, 8))
    inner = keras.Sequential([keras.Input((8, 8, 8)), L.Conv2D(8, 3, name="nested")], name="inner")
    kept = [
        L.Conv2D(8, 3, name="pruned"),
        L.Conv2D(8, 3, name="a_little_pruned"),
        L.Conv2D(8, 3, name="empty"),
        L.Conv2D(8, 3, groups=2, name="grouped"),
        Own(8, 3, name="own"),
        L.SeparableConv2D(8, 3, name="separable"),
        L.Conv2DTranspose(8, 3, name="transposed"),
    ]
    model = keras.Model(x, [*(layer(x) for layer in kept), inner(x)])
    for layer in (*kept, *inner.layers):
        for weight in layer.weights:
            value = np.ones(weight.shape, "float32")
            if len(value.shape) == 4 and layer.name != "empty":
                value[0] = 0
                if layer.name == "a_little_pruned":
                    value[0, :2] = 1
            weight.assign(value * (layer.name != "empty"))
    assert sorted(layer.name for layer in find_pruned(model)) == ["nested", "pruned"]


def test_columns_that_spp_prunes_are_found():
    x = keras.Input((8, 8, 16))
    y = L.Conv2D(16, 3, padding="same", activation="relu", name="first")(x)
    model = keras.Model(x, L.Dense(2)(L.Flatten()(L.Conv2D(8, 3, name="second")(y))))
    schedule = spp.OneShotSchedule()
    pruned = spp.prune(model, 0.5, granularity="column", schedule=schedule, round_to=1)
    pruned.compile("sgd", "mse")
    data = np.ones((8, 8, 8, 16), "float32"), np.ones((8, 2), "float32")
    pruned.fit(*data, batch_size=1, verbose=0, callbacks=[spp.SPPCallback()])
    found = find_pruned(spp.shrink(pruned))
    assert [(layer.name, convolution_of(layer).left.mean()) for layer in found] == [
        ("first", 0.5), ("second", 0.5),
    ]  # fmt: skip
    assert columns.LEFT >= 0.5
