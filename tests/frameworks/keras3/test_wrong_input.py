"""What is given to the public functions for models of Keras 3 and cannot be: one sentence."""

import keras
import numpy as np
import pytest

import keras_spp as spp
from tests.helpers.keras3 import assert_equal
from tests.helpers.sentences import assert_one_sentence
from tests.helpers.training_keras3 import dense_net, prune, samples
from tests.zoo.keras3_models import L, outputs, randomize


def without_kernels():
    return keras.Sequential([keras.Input((6, 6, 3)), L.ReLU(), L.Flatten()])


def of_one_channel():
    return keras.Sequential([keras.Input((6, 6, 1)), L.Conv2D(1, 3), L.Flatten(), L.Dense(1)])


@pytest.mark.parametrize("wrong", [None, 3, np.ones((2, 4)), keras.Model], ids=repr)
@pytest.mark.parametrize(
    "function", [spp.analyze, lambda model: spp.prune(model, 0.5), spp.Pruner, spp.shrink]
)
def test_what_is_no_model(function, wrong):
    with pytest.raises(TypeError, match="`model` must be a Keras model") as error:
        function(wrong)
    assert_one_sentence(error)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (without_kernels, "has nothing to prune"),
        (of_one_channel, "has nothing to prune .*too few channels"),
        (lambda: keras.Sequential([keras.Input((4,)), L.Dense(3)]), "has nothing to prune"),
        (lambda: prune(dense_net()), "is pruned already"),
        (lambda: keras.Sequential([L.Dense(3)]), "without a known input shape"),
    ],
)
def test_models_that_cannot_be_pruned(make, match):
    with pytest.raises(ValueError, match=match) as error:
        spp.prune(make(), 0.5)
    assert_one_sentence(error)


def data(change):
    x, y = samples(dense_net(), 64)
    return change(x, y)


@pytest.mark.parametrize(
    ("change", "kind", "match"),
    [
        (lambda x, y: x[:0], ValueError, "at least one batch but is empty"),
        (lambda x, y: x[:9], ValueError, "at least 16 samples, better some hundred, but gives 9"),
        (lambda x, y: x * np.nan, ValueError, "holds NaN or infinity"),
        (lambda x, y: x[:, :3], ValueError, r"takes, \(4,\) without the batch, but holds \(3,\)"),
        (lambda x, y: x[:, None, None], ValueError, r"takes, \(4,\) .* holds \(1, 1, 4\)"),
        (lambda x, y: [[x, x]] * 2, ValueError, r"takes, \(4,\) .* holds \(4,\), \(4,\)"),
        (lambda x, y: x.tolist(), TypeError, "must yield arrays but yields numbers in lists"),
        (lambda x, y: {"x": x}, TypeError, "must be a tf.data.Dataset of batches"),
    ],
)
def test_samples_that_the_model_does_not_take(change, kind, match):
    with pytest.raises(kind, match=match) as error:
        spp.compress(dense_net(), data(change), pruning_ratio=0.5, round_to=1, verbose=0)
    assert_one_sentence(error)


def test_as_few_samples_as_are_asked_for_are_enough():
    model = dense_net()
    small = spp.compress(model, data(lambda x, y: x[:16]), pruning_ratio=0.5, round_to=1, verbose=0)
    assert small.count_params() < model.count_params()


def test_statistics_are_not_estimated_from_nan():
    model = randomize(keras.Sequential([keras.Input((4,)), L.Dense(3), L.BatchNormalization()]))
    x = data(lambda x, y: x)
    before = outputs(model, x)
    with pytest.raises(ValueError, match="`data` holds NaN or infinity") as error:
        spp.reestimate_batch_norm(model, [x, x * np.nan])
    assert_one_sentence(error)
    assert_equal(before, outputs(model, x), exact=0)
