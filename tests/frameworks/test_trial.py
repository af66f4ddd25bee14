"""What calling a function with channels left out says of it."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from keras_spp.core.call import Followed
from keras_spp.core.channels import Reason, Tensor
from keras_spp.frameworks.tensorflow.sizes import Result
from keras_spp.frameworks.tensorflow.trial import agree, follow

C = 8


def features(count=C, size=6, channels_at=3):
    shape = [None, size, size, size]
    shape[channels_at] = count
    labels = np.arange(count).reshape([count if axis == channels_at else 1 for axis in range(4)])
    return Tensor(labels, tuple(shape))


def outcome(function, *operands, **options):
    found = follow([function], operands, options, [x for x in operands if isinstance(x, Tensor)])
    return found if isinstance(found, Reason) else found.places


def identity(axis):
    return [(axis, list(range(C)))]


def places(function, *operands, **options):
    found = outcome(function, *operands, **options)
    assert not isinstance(found, Reason), found
    return [None if place is None else (place[0], place[1].tolist()) for place in found]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * tf.nn.relu6(x + 3.0) / 6.0,
        tf.function(lambda x: x * tf.sigmoid(x)),
        lambda x: tf.image.resize(x, (4, 9)),
        lambda x: tf.image.flip_up_down(x),
        lambda x: tf.cumsum(x, axis=1, reverse=True),
        lambda x: tf.nn.softmax(x, axis=2),
        lambda x: tf.nn.pool(x, [2, 2], "MAX"),
        lambda x: tf.where(x > 0.0, x, 0.2 * x),
        lambda x: tf.cast(tf.argmax(x, axis=1), tf.float32)[:, None],
        lambda x: (x - tf.reduce_mean(x, [1, 2], keepdims=True)) * 3.0,
        lambda x: tf.reshape(x, tf.concat([tf.shape(x)[:1], [36, 1], tf.shape(x)[3:]], 0)),
    ],
)
def test_what_keeps_channels_apart_is_followed(function):
    assert places(function, features()) == identity(3)


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_the_axis_of_the_channels_is_found_wherever_it_is(axis):
    assert places(tf.nn.relu, features(channels_at=axis)) == identity(axis)
    order = [0, 3, 1, 2]
    found = places(lambda x: tf.transpose(x, order), features(channels_at=axis))
    assert found == identity(order.index(axis))


def test_a_result_may_hold_every_channel_several_times():
    assert places(tf.nn.crelu, features()) == [(3, [*range(C), *range(C)])]
    assert places(lambda x: tf.repeat(x, 2, axis=-1), features()) == [
        (3, np.repeat(np.arange(C), 2).tolist())
    ]
    assert places(lambda x: tf.reshape(x, [tf.shape(x)[0], -1]), features()) == [
        (1, list(range(C)) * 36)
    ]


def test_a_result_without_channels_has_no_place():
    assert places(lambda x: (tf.sin(x), tf.constant([1.0, 2.0])), features()) == [
        *identity(3),
        None,
    ]
    assert outcome(lambda x: tf.constant([1.0, 2.0]), features()) is Reason.FUNCTION


@pytest.mark.parametrize(
    "function",
    [
        tf.nn.softmax,
        tf.nn.local_response_normalization,
        lambda x: tf.cumsum(x, axis=-1),
        lambda x: x / (1.0 + tf.norm(x, axis=-1, keepdims=True)),
        lambda x: tf.sort(x, axis=-1),
        lambda x: tf.argmax(x, axis=-1),
        lambda x: x + 1e-3 * tf.reduce_mean(x, -1, keepdims=True),
        # Seen in the graph only: no random numbers are as large, or so small.
        lambda x: tf.clip_by_norm(x, 1e30),
        lambda x: x * tf.cast(tf.reduce_sum(x) < 1e35, x.dtype),
        lambda x: x + 1e-9 * tf.reduce_max(x, -1, keepdims=True),
    ],
)
def test_what_mixes_channels_is_said_to(function):
    assert outcome(function, features()) is Reason.MIXES


def loop(x):
    return tf.while_loop(lambda i, _: i < 3, lambda i, y: (i + 1, 2.0 * y), (0, x))[1]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x + tf.random.normal(tf.shape(x)),
        lambda x: tf.random.stateless_uniform(tf.shape(x), (1, 2)) * x,
        lambda x: tf.cond(tf.reduce_max(x) > 1e9, lambda: x[..., ::-1], lambda: x),
        lambda x: tf.numpy_function(np.cumsum, [x], tf.float32),
        loop,
        lambda x: x / float(x.shape[-1]),
        lambda x: x if x.shape[-1] % 2 == 0 else -x,
        lambda x: x if x.shape[-1] > 3 else -x,
        lambda x: tf.roll(x, 1, axis=-1),
        lambda x: x[..., ::2],
        lambda x: 1 / 0,
        lambda x: None,
        lambda x: tf.stack(tf.meshgrid(*[tf.reshape(x, [-1])] * 4)),  # 16 TB
        lambda: 3,
    ],
)
def test_what_cannot_be_told_is_an_unknown_function(function):
    assert outcome(function, features()) is Reason.FUNCTION


def test_operands_with_as_many_channels_are_one_position_by_position():
    x, y = features(), features()
    found = follow([tf.math.xdivy], (x, y), {}, [x, y])
    assert found.operands[0] is x and found.operands[1] is y


def test_of_a_contraction_the_operand_that_keeps_its_channels_is_followed():
    x = Tensor(np.arange(C).reshape(1, 1, C), (None, 16, C))
    weights = Tensor(np.arange(16).reshape(1, 1, 16), (None, 5, 16))
    found = follow([tf.matmul], (weights, x), {}, [weights, x])
    assert isinstance(found, Followed) and found.operands == [x]
    assert found.places[0][0] == 2
    assert follow([tf.matmul], (x, x), {"transpose_b": True}, [x, x]) is Reason.MIXES


def test_a_constant_of_one_value_per_channel_is_cut():
    x, scale = features(), np.linspace(1, 2, C).tolist()
    found = follow([tf.math.multiply_no_nan], (x, scale), {}, [x])
    ((argument, cut),) = found.edits
    assert argument.name == 1
    keep = np.arange(C) % 2 == 0
    np.testing.assert_allclose(cut(keep), scale[::2], rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16", "int32", "bool"])
def test_elements_of_every_type_are_drawn(dtype):
    x = Tensor(features().labels, features().shape, tf.as_dtype(dtype))
    assert places(tf.identity, x) == identity(3)
    if x.dtype.is_floating:
        assert places(lambda x: x * tf.sigmoid(x), x) == identity(3)
        assert outcome(tf.nn.softmax, x) is Reason.MIXES


def test_functions_that_differ_are_unknown():
    def layer(training):
        return lambda x: tf.nn.relu(x) if training else x

    x = features()
    assert follow([layer(True), layer(False)], (x,), {}, [x]) is Reason.FUNCTION
    assert isinstance(follow([layer(True), layer(True)], (x,), {}, [x]), Followed)
    assert follow([], (x,), {}, [x]) is Reason.FUNCTION


def test_a_size_counts_channels_if_it_changes_with_them():
    x = features()
    shape = Tensor(np.zeros(1, int), (4,), tf.int32, Result(tf.shape, (x,), {}, 0))

    def of(function):
        return Tensor(np.zeros(1, int), (), tf.int32, Result(function, (shape,), {}, 0))

    assert shape.counts_channels() and shape.origins() == [x]
    assert of(tf.reduce_prod).counts_channels() and of(tf.reduce_prod).origins() == [x]
    assert not of(lambda sizes: sizes[1]).counts_channels()
    assert not of(lambda sizes: sizes[0] * sizes[2]).counts_channels()
    assert of(lambda sizes: 1 / 0).counts_channels()
    assert not x.counts_channels() and x.origins() == [x]


def test_a_model_takes_the_place_of_functions_that_it_agrees_with():
    inputs = keras.Input((6, 6, C))
    x, model = features(), keras.Model(inputs, tf.nn.relu(inputs) * 2.0)
    assert agree([lambda x: 2.0 * tf.nn.relu(x)], model, x)
    assert not agree([lambda x: 2.0 * x], model, x)
    assert not agree([lambda x: 2.0 * tf.nn.relu(x) + tf.random.normal(())], model, x)
    assert not agree([lambda x: tf.cast(2.0 * tf.nn.relu(x), tf.float64)], model, x)
