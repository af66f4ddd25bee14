"""Initializers that make one size alone: copies of another size are built, saved and loaded."""

import warnings

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import keras_spp as spp
from keras_spp.frameworks.tf_keras.clone import clone_layer
from tests.helpers.sentences import assert_one_sentence
from tests.helpers.slow import slow_but
from tests.zoo.models import L, random_probabilities, randomize, relative_error

INITIALIZERS = keras.initializers


def of(*shape):
    """An initializer that holds an array."""
    return INITIALIZERS.Constant(np.random.default_rng(0).normal(size=shape).astype("float32"))


@keras.saving.register_keras_serializable("initial")
class Table(INITIALIZERS.Initializer):
    """What it was given, whatever shape it is asked for."""

    def __init__(self, table):
        self.table = np.asarray(table, "float32")

    def __call__(self, shape, dtype=None, **kwargs):
        return tf.constant(self.table, dtype)

    def get_config(self):
        return {"table": self.table.tolist()}


@keras.saving.register_keras_serializable("initial")
def for_eight(shape, dtype=None):
    """A plain function that knows one size."""
    assert shape[-1] == 8
    return tf.ones(shape, dtype)


@keras.saving.register_keras_serializable("initial")
def for_eights(shape, dtype=None):
    """The same for what Keras puts together from several parts."""
    assert shape[0] % 8 == 0
    return tf.ones(shape, dtype)


def chain(*layers, shape=(8, 8, 3)):
    x = y = keras.Input(shape)
    for layer in layers:
        y = layer(y)
    return keras.Model(x, L.Dense(3, name="end")(y))


def image(*layers):
    return chain(L.Conv2D(8, 3, name="first"), *layers, L.Conv2D(4, 1))


def sequence(layer):
    return chain(L.Conv1D(8, 3, name="first"), layer, shape=(6, 5))


def words(**options):
    x = keras.Input((6,), dtype="int32")
    return keras.Model(x, L.Dense(3)(L.Conv1D(8, 3)(L.Embedding(10, 8, **options)(x))))


def recurrent(kind, gates, **options):
    return kind(8, kernel_initializer=of(8, 8 * gates), recurrent_initializer="identity", **options)


MODELS = {
    "bias": lambda: image(L.Conv2D(8, 3, bias_initializer=of(8))),
    "kernel": lambda: image(L.Conv2D(8, 3, kernel_initializer=of(3, 3, 8, 8))),
    "batch norm": lambda: image(
        L.BatchNormalization(
            gamma_initializer=of(8),
            beta_initializer=for_eight,
            moving_mean_initializer=of(8),
            moving_variance_initializer=Table([1.0] * 8),
        )
    ),
    "prelu": lambda: image(L.PReLU(alpha_initializer=of(6, 6, 8))),
    "depthwise": lambda: image(L.DepthwiseConv2D(3, depthwise_initializer=of(3, 3, 8, 1))),
    "separable": lambda: image(L.SeparableConv2D(8, 3, pointwise_initializer=of(1, 1, 8, 8))),
    "transposed": lambda: image(L.Conv2DTranspose(8, 3, kernel_initializer=of(3, 3, 8, 8))),
    "table": lambda: image(L.Dense(8, kernel_initializer=Table(np.eye(8)))),
    "function": lambda: image(L.Dense(8, bias_initializer=lambda shape, dtype=None: tf.ones(8))),
    "identity": lambda: image(L.Dense(8, kernel_initializer="identity")),
    "orthogonal": lambda: image(L.Dense(12, kernel_initializer="orthogonal")),
    "local": lambda: image(L.LocallyConnected2D(8, 3, bias_initializer=of(4, 4, 8))),
    "einsum": lambda: image(L.EinsumDense("...x,xy->...y", 8, kernel_initializer=of(8, 8))),
    "per step": lambda: chain(
        L.TimeDistributed(L.Conv2D(8, 3, bias_initializer=of(8))), shape=(2, 8, 8, 3)
    ),
    "embedding": lambda: words(embeddings_initializer=of(10, 8)),
    "embedding with weights": lambda: words(weights=[np.ones((10, 8))]),
    "simple rnn": lambda: sequence(recurrent(L.SimpleRNN, 1)),
    "gru": lambda: sequence(recurrent(L.GRU, 3, bias_initializer=of(2, 24))),
    "lstm": lambda: sequence(recurrent(L.LSTM, 4, bias_initializer=for_eights)),
    "lstm of a function": lambda: sequence(
        L.LSTM(8, kernel_initializer=lambda shape, dtype=None: tf.ones(shape))
    ),
    "cell": lambda: sequence(L.RNN(recurrent(L.GRUCell, 3))),
    "cells": lambda: sequence(L.RNN([recurrent(L.LSTMCell, 4), recurrent(L.GRUCell, 3)])),
    "bidirectional": lambda: sequence(L.Bidirectional(recurrent(L.GRU, 3))),
    "two directions": lambda: sequence(
        L.Bidirectional(recurrent(L.GRU, 3), backward_layer=recurrent(L.LSTM, 4, go_backwards=True))
    ),
    "convolutional lstm": lambda: chain(
        L.ConvLSTM2D(8, 3, kernel_initializer=of(3, 3, 3, 32)), L.Conv2D(4, 1), shape=(2, 8, 8, 3)
    ),
}

# Keras cannot read functions back that have no name.
UNLOADABLE = {"function", "lstm of a function"}


def shrunk(model):
    random = np.random.default_rng(0)
    weights = [random.normal(size=w.shape) ** 2 / 4 for w in model.weights]
    model.set_weights(weights)
    pruned = spp.prune(model, pruning_ratio=0.5, round_to=1)
    random_probabilities(pruned, settled=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pruned, spp.shrink(pruned)


def sample(model):
    shape = (3, *model.input_shape[1:])
    return np.random.default_rng(1).integers(0, 9, shape).astype(model.input.dtype.name)


@pytest.mark.parametrize("name", MODELS)
def test_a_layer_shrinks_and_loads_whatever_its_initializers_are(name, tmp_path):
    model = MODELS[name]()
    pruned, small = shrunk(model)
    x = sample(model)
    expected = pruned(x).numpy()
    np.testing.assert_allclose(small(x), expected, atol=2e-5 * np.abs(expected).max())
    assert spp.analyze(small).macs < spp.analyze(model).macs
    if name not in UNLOADABLE:
        small.save(tmp_path / "small.keras")
        loaded = keras.models.load_model(tmp_path / "small.keras")
        np.testing.assert_array_equal(small(x), loaded(x))
        keras.models.clone_model(small)  # to be trained from scratch


def test_what_serves_the_new_size_stays_the_users():
    he, constant = INITIALIZERS.HeNormal(3), of(8)
    x = keras.Input((8, 8, 3))
    y = L.Conv2D(8, 3, kernel_initializer=he, bias_initializer=constant, name="first")(x)
    y = L.Dense(8, kernel_initializer=of(8, 8), bias_initializer=constant, name="last")(y)
    _, small = shrunk(keras.Model(x, y))
    first, last = small.get_layer("first"), small.get_layer("last")
    assert isinstance(first.kernel_initializer, INITIALIZERS.HeNormal)
    assert first.kernel_initializer.seed == 3
    assert isinstance(first.bias_initializer, INITIALIZERS.Zeros)
    assert isinstance(last.kernel_initializer, INITIALIZERS.GlorotUniform)
    assert isinstance(last.bias_initializer, INITIALIZERS.Constant)


@pytest.mark.parametrize(
    ("layer", "default"),
    [
        (
            L.Conv2D(8, 3, kernel_initializer=of(3, 3, 8, 8), name="given"),
            INITIALIZERS.GlorotUniform,
        ),
        (L.BatchNormalization(gamma_initializer=of(8), name="given"), INITIALIZERS.Ones),
        (L.BatchNormalization(moving_variance_initializer=of(8), name="given"), INITIALIZERS.Ones),
        (
            L.PReLU(alpha_initializer=of(1, 1, 8), name="given", shared_axes=[1, 2]),
            INITIALIZERS.Zeros,
        ),
    ],
    ids=["kernel", "gamma", "variance", "alpha"],
)
def test_what_does_not_becomes_the_default_of_its_class(layer, default):
    key = next(k for k, v in vars(layer).items() if isinstance(v, INITIALIZERS.Constant))
    _, small = shrunk(image(layer))
    assert type(getattr(small.get_layer("given"), key)) is default


def test_an_initializer_that_two_layers_share_is_kept_by_the_one_that_it_serves():
    x = keras.Input((8,))
    y = L.Dense(8, bias_initializer=for_eight, name="first")(x)
    y = L.Dense(8, bias_initializer=for_eight, name="last")(y)
    _, small = shrunk(keras.Model(x, y))
    assert isinstance(small.get_layer("first").bias_initializer, INITIALIZERS.Zeros)
    assert small.get_layer("last").bias_initializer is for_eight


def test_the_model_and_the_pruned_one_keep_theirs():
    model = image(L.Conv2D(8, 3, bias_initializer=of(8), name="conv"))
    before = model.get_layer("conv").bias_initializer
    pruned, _ = shrunk(model)
    assert model.get_layer("conv").bias_initializer is before
    assert isinstance(pruned.get_layer("conv").layer.bias_initializer, INITIALIZERS.Constant)
    assert "build" not in vars(pruned.get_layer("conv").layer)


class Tabled(L.Layer):
    """Makes its initializer from an array in its config."""

    def __init__(self, table, **options):
        super().__init__(**options)
        self.table = list(table)

    def build(self, shape):
        self.scale = self.add_weight(
            "scale", shape[-1:], initializer=INITIALIZERS.Constant(list(self.table))
        )

    def call(self, x):
        return x * self.scale

    def get_config(self):
        return {**super().get_config(), "table": list(self.table)}


@spp.rule(Tabled)
def tabled(call, x):
    call.follows(call.layer.scale, 0, call.vector(x))
    return x.labels


def test_a_rule_that_forgets_an_entry_of_the_config_is_told():
    model = randomize(image(Tabled(range(8), name="tabled")))
    pruned = spp.prune(model, pruning_ratio=0.5, round_to=1)
    random_probabilities(pruned, settled=True)
    with pytest.raises(ValueError, match=r"'tabled' .* its rule must resize every entry") as error:
        spp.shrink(pruned)
    assert_one_sentence(error)


def test_a_copy_that_is_never_built_is_left_as_it_is():
    layer = clone_layer(L.Conv2D(8, 3, bias_initializer=of(8)), {"filters": 4}, resized=True)
    assert isinstance(layer.bias_initializer, INITIALIZERS.Constant)
    layer.build((None, 8, 8, 3))
    assert layer.bias.shape == (4,) and isinstance(layer.bias_initializer, INITIALIZERS.Zeros)


def test_declared_input_shapes_become_those_of_the_small_model(tmp_path):
    model = randomize(
        keras.Sequential(
            [
                L.Conv2D(8, 3, input_shape=(8, 8, 3)),
                keras.Sequential([L.Conv2D(8, 3, input_shape=(6, 6, 8)), L.Dense(6, input_dim=8)]),
                L.Dense(3, input_shape=(4, 4, 6)),
            ]
        )
    )
    pruned, small = shrunk(model)
    first, inner, last = small.layers
    declared = [layer.get_config()["batch_input_shape"] for layer in (first, *inner.layers, last)]
    assert declared == [(None, 8, 8, 3), (None, 6, 6, 4), (None, 4), (None, 4, 4, 3)]
    small.save(tmp_path / "small.keras")
    assert relative_error(pruned, keras.models.load_model(tmp_path / "small.keras")) <= 2e-5


@pytest.mark.parametrize("seed", slow_but(range(10), range(4)))
def test_random_layers_with_initializers_of_one_size_shrink_exactly(seed):
    random = np.random.default_rng(seed)

    def options(layer):
        """Some of a layer's initializers hold an array of the size that its weight has."""
        layer(keras.Input((8, 8, 8)))
        config = {**layer.get_config(), "name": None}
        for key in config:
            weight = key.removesuffix("_initializer")
            weight = getattr(layer, weight, None) if key.endswith("_initializer") else None
            if hasattr(weight, "shape") and random.integers(2):
                config[key] = random.choice([of, lambda *s: Table(np.ones(s))])(*weight.shape)
        return type(layer).from_config(config)

    def draw():
        return options(
            random.choice(
                [
                    lambda: L.Conv2D(8, 3, padding="same"),
                    lambda: L.Dense(8, activation="relu"),
                    lambda: L.BatchNormalization(),
                    lambda: L.PReLU(),
                    lambda: L.SeparableConv2D(8, 3, padding="same"),
                    lambda: L.EinsumDense("...x,xy->...y", 8, bias_axes="y"),
                    lambda: L.Conv2DTranspose(8, 3, padding="same"),
                ]
            )()
        )

    pruned, small = shrunk(chain(L.Conv2D(8, 1), *[draw() for _ in range(5)], L.Dense(4)))
    assert relative_error(pruned, small) <= 2e-5, f"seed {seed}"
    copy = type(small).from_config(small.get_config())
    assert [w.shape for w in copy.weights] == [w.shape for w in small.weights], f"seed {seed}"
