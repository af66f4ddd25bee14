import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import keras_spp as spp
from tests.zoo.models import L, random_probabilities, randomize


def net():
    x = keras.Input((8, 8, 3))
    y = L.ReLU()(L.BatchNormalization(name="first")(L.Conv2D(8, 3)(x)))
    y = L.Dropout(0.5)(y)
    inner = keras.Input((6, 6, 8))
    z = L.BatchNormalization(name="second", center=False)(L.Conv2D(6, 3)(inner))
    y = keras.Model(inner, z, name="nested")(y)
    return randomize(keras.Model(x, L.Dense(3)(L.GlobalAveragePooling2D()(y))))


def images(count=64):
    return np.random.default_rng(0).normal(2, 3, size=(count, 8, 8, 3)).astype("float32")


def test_the_statistics_become_those_of_the_data():
    model = net()

    def others():
        return [w.numpy() for w in model.weights if "moving" not in w.name]

    before = others()
    assert spp.reestimate_batch_norm(model, [images()]) is model
    first = model.get_layer("first")
    features = model.layers[1](images())
    np.testing.assert_allclose(first.moving_mean, np.mean(features, (0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(first.moving_variance, np.var(features, (0, 1, 2)), rtol=1e-4)
    # One batch: inference is now what a training step would see, without its dropout.
    second = model.get_layer("nested").get_layer("second")
    y = model.get_layer("nested").layers[1](tf.nn.relu(first(features, training=True)))
    np.testing.assert_allclose(second.moving_mean, np.mean(y, (0, 1, 2)), rtol=1e-3, atol=1e-3)
    assert all((a == b).all() for a, b in zip(before, others(), strict=True))


@pytest.mark.parametrize(
    "layer",
    [L.BatchNormalization(synchronized=True), L.experimental.SyncBatchNormalization()],
    ids=["option", "class"],
)
def test_synchronized_normalisation_is_pruned_scored_and_measured_like_any(layer):
    x = keras.Input((8, 8, 3))
    y = L.Conv2D(6, 1)(L.ReLU()(layer(L.Conv2D(8, 3, name="first")(x))))
    model = randomize(keras.Model(x, y))
    schedule = spp.SPPSchedule(score="bn_scale")
    pruned = spp.prune(model, {"first": 0.5}, round_to=1, schedule=schedule)
    random_probabilities(pruned)
    spp.reestimate_batch_norm(pruned, [images()])
    statistics = pruned.layers[2].moving_mean
    np.testing.assert_allclose(
        statistics, np.mean(pruned.layers[1](images()), (0, 1, 2)), rtol=1e-3, atol=1e-3
    )
    small = spp.shrink(pruned)
    assert small.layers[2].moving_mean.shape == (4,) and small.layers[2].synchronized
    np.testing.assert_allclose(small(images()), pruned(images()), rtol=1e-4, atol=1e-4)


def test_several_batches_are_averaged_and_no_more_are_used_than_asked_for():
    model, data = net(), images()
    spp.reestimate_batch_norm(model, [data[:32], data[32:], data * 100], most=2)
    features = model.layers[1](data)
    mean = np.mean(features, (0, 1, 2))
    np.testing.assert_allclose(model.get_layer("first").moving_mean, mean, rtol=1e-4, atol=1e-4)


def test_a_pruned_model_keeps_its_probabilities_and_its_expected_network_is_measured():
    pruned = spp.prune(net(), pruning_ratio=0.5, round_to=1)
    random_probabilities(pruned)
    before = spp.Pruner(pruned).probabilities().numpy()
    spp.reestimate_batch_norm(pruned, images())
    np.testing.assert_array_equal(spp.Pruner(pruned).probabilities(), before)
    small = spp.shrink(pruned)
    kept = [w.numpy() for w in small.weights if "moving" in w.name]
    spp.reestimate_batch_norm(small, images())
    for a, b in zip(kept, [w.numpy() for w in small.weights if "moving" in w.name], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_unusable_arguments_are_refused():
    with pytest.raises(TypeError, match=r"`data` must be a tf\.data\.Dataset"):
        spp.reestimate_batch_norm(net(), None)
    with pytest.raises(ValueError, match="`most` must be None or an integer of at least 1"):
        spp.reestimate_batch_norm(net(), images(), most=0)
    with pytest.raises(TypeError, match="`model` must be a Keras model"):
        spp.reestimate_batch_norm("net.keras", images())
