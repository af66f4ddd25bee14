import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import keras_spp as spp
from tests.zoo.models import L, random_probabilities, randomize, relative_error


def macs(x, y):
    return {row.layer: row.macs for row in spp.analyze(keras.Model(x, y))}


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (lambda y: L.SpectralNormalization(L.Conv2D(6, 3), name="it")(y), 36 * 9 * 8 * 6),
        (lambda y: L.RNN(L.LSTMCell(8), unroll=True, name="it")(y[:, 0]), 8 * (8 + 8) * 32),
        (lambda y: L.Dot(3, name="it")([y, y]), 8 * 8 * 8 * 8 * 8),
        (lambda y: L.EinsumDense("...x,xy->...y", 5, name="it")(y), 64 * 8 * 5),
        (lambda y: L.Lambda(lambda v: tf.einsum("bhwc,bhkc->bhwk", v, v), name="it")(y), 8**4),
        (
            lambda y: L.MultiHeadAttention(2, 4, name="it")(*2 * [L.Reshape((64, 8))(y)]),
            4 * 64 * 8 * 8 + 2 * 64 * 64 * 8,
        ),
    ],
    ids=["spectral", "rnn", "dot", "einsum dense", "lambda", "attention"],
)
def test_macs_of_a_layer_without_a_rule_are_counted_in_its_graph(layer, expected):
    x = keras.Input((8, 8, 3))
    y = layer(L.Conv2D(8, 3, padding="same")(x))
    assert macs(x, L.Dense(2)(y))["it"] == expected


def test_macs_of_an_unknown_layer_count_at_every_time_step_and_position():
    x = keras.Input((5, 8, 8, 3))
    y = L.TimeDistributed(L.SpectralNormalization(L.Conv2D(6, 3), name="it"))(x)
    assert macs(x, y)["it"] == 5 * 36 * 9 * 3 * 6


def test_a_nested_model_with_an_open_input_has_the_size_that_it_is_called_with():
    inner = keras.Input((None, None, 3))
    base = keras.Model(inner, L.Conv2D(8, 3, name="inside", strides=2)(inner))
    x = keras.Input((17, 9, 3))
    model = keras.Model(x, L.Conv2D(4, 1)(base(x)))
    report = spp.analyze(model)
    assert report.fixed_size and report[0].macs == 8 * 4 * 27 * 8
    assert spp.prune(model, target_speedup=1.3, round_to=1)


def test_an_open_input_leaves_the_size_open():
    x = keras.Input((None, None, 3))
    assert not spp.analyze(keras.Model(x, L.Conv2D(4, 1)(L.Conv2D(8, 3)(x)))).fixed_size


@pytest.mark.parametrize("frames", [-1, "tensor"])
def test_what_is_spread_over_the_batch_counts_as_often_and_shrinks_exactly(frames):
    x = keras.Input((4, 8, 8, 3))
    y = tf.reshape(x, [-1 if frames == -1 else tf.shape(x)[0] * 4, 8, 8, 3])
    y = L.Conv2D(12, 3, padding="same")(L.Conv2D(8, 3, padding="same", name="frame")(y))
    y = tf.reshape(L.GlobalAveragePooling2D()(y), [-1, 4, 12])
    model = randomize(keras.Model(x, L.Dense(3)(L.GRU(6)(y))))
    assert {row.layer: row.macs for row in spp.analyze(model)}["frame"] == 4 * 64 * 27 * 8
    pruned = spp.prune(model, pruning_ratio=0.5, round_to=1)
    random_probabilities(pruned)
    small = spp.shrink(pruned)
    assert small.get_layer("frame").filters == 4
    assert relative_error(pruned, small) <= 2e-5


def test_a_fixed_batch_is_not_counted():
    x = keras.Input(batch_shape=(4, 8, 8, 3))
    y = tf.reshape(L.Conv2D(8, 3, padding="same", name="conv")(x), [4, 64, 8])
    assert macs(x, L.Dot(2, name="dot")([y, y])) == {"conv": 64 * 27 * 8, "dot": 64 * 64 * 8}


def test_looking_does_not_touch_the_models_losses():
    x = keras.Input((8, 8, 3))
    y = L.Conv2D(8, 3, activity_regularizer="l2")(L.Conv2D(8, 3, kernel_regularizer="l2")(x))
    model = keras.Model(x, L.Dense(3)(tf.reshape(y, [tf.shape(y)[0], -1, 8])))
    before = [str(loss) for loss in model.losses]
    spp.analyze(model)
    assert [str(loss) for loss in model.losses] == before


def test_what_one_sample_cannot_pass_is_left_alone_and_shrinks_exactly():
    def shifted(y):
        y = tf.reshape(y, [-1, 4, 8, 8, 8])  # four frames of a film are the batch
        y = tf.concat([y[:, 1:], y[:, :1]], 1)
        return tf.reshape(y, [-1, 8, 8, 8])

    x = keras.Input((8, 8, 3))
    y = shifted(L.Conv2D(8, 3, padding="same", name="first")(x))
    model = randomize(keras.Model(x, L.Dense(3)(L.Conv2D(8, 3)(y))))
    pruned = spp.prune(model, pruning_ratio=0.5, round_to=1)
    random_probabilities(pruned)
    small = spp.shrink(pruned)
    data = np.random.default_rng(0).normal(size=(8, 8, 8, 3)).astype("float32")
    np.testing.assert_allclose(pruned(data), small(data), rtol=1e-5, atol=1e-5)
    assert spp.analyze(model).macs > spp.analyze(small).macs
