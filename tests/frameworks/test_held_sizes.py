"""Constraints and regularizers that hold an array per channel: frozen, and everything trains."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import keras_spp as spp
from keras_spp.core.channels import Reason
from tests.zoo.models import L, relative_error

FACTORS = np.arange(1.0, 9.0, dtype="float32")


@keras.saving.register_keras_serializable("held")
class PerChannel(keras.regularizers.Regularizer, keras.constraints.Constraint):
    """A penalty, of one number, or a limit, of the shape that it was given."""

    def __init__(self, factors=FACTORS, limits=False):
        self.factors, self.limits = np.asarray(factors, "float32"), limits

    def __call__(self, w):
        if self.limits:
            return tf.clip_by_value(w, -self.factors, self.factors)
        return 1e-3 * tf.reduce_sum(self.factors * tf.square(w))

    def get_config(self):
        return {"factors": self.factors.tolist(), "limits": self.limits}


PENALTY, LIMIT = PerChannel(), PerChannel(limits=True)


def model(*layers, shape=(8, 8, 3)):
    x = y = keras.Input(shape)
    for layer in layers:
        y = layer(y)
    return keras.Model(x, L.Dense(3, name="end")(y))


def conv(name="conv", **options):
    return L.Conv2D(8, 1, name=name, **options)


def dense(width):
    return L.Dense(width, name="conv")


def trained(model):
    """Pruned by half, shrunk and trained on: nothing fails, and the layer is what it was."""
    shape = (4, *model.input_shape[1:])
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    y = np.zeros((4, *model.output_shape[1:]), "float32")
    pruned = spp.prune(model, pruning_ratio=0.5, round_to=1, schedule=spp.OneShotSchedule())
    pruned.compile(keras.optimizers.SGD(1e-4), "mse")
    pruned.fit(x, y, batch_size=1, verbose=0, callbacks=[spp.SPPCallback()])
    small = spp.shrink(pruned)
    assert relative_error(pruned, small) <= 2e-5
    small.compile(keras.optimizers.SGD(1e-4), "mse")
    small.fit(x, y, verbose=0)
    return small


@pytest.mark.parametrize(
    "layers",
    [
        (conv(kernel_regularizer=PENALTY), conv("next")),
        (conv(kernel_constraint=LIMIT), conv("next")),
        (conv(bias_constraint=LIMIT), conv("next")),
        (conv(activity_regularizer=PENALTY), conv("next")),
        (conv(), conv("next", kernel_constraint=PerChannel(FACTORS[:, None], True))),
        (conv(), L.BatchNormalization(gamma_regularizer=PENALTY), conv("next")),
        (conv(), L.ReLU(activity_regularizer=PENALTY), conv("next")),
        (conv(), L.GaussianNoise(FACTORS / 10), conv("next")),
        (conv(), L.BatchNormalization(momentum=FACTORS / 10), conv("next")),
    ],
    ids=["kernel", "limit", "bias", "outputs", "reader", "gamma", "relu", "noise", "momentum"],
)
def test_what_insists_on_a_size_keeps_it_with_a_reason(layers):
    held = model(*layers, conv("last"))
    rows = {row.layer: row for row in spp.analyze(held)}
    assert rows["conv"].reason.startswith(Reason.HELD)
    small = trained(held)
    assert small.get_layer("conv").filters == 8
    assert small.get_layer("next").filters == 4


@pytest.mark.filterwarnings("ignore:shrink")
def test_a_penalty_on_outputs_is_kept_by_copies_whose_config_leaves_it_out():
    x = keras.Input((8, 8, 3))
    y = L.Lambda(lambda x: 2.0 * x, activity_regularizer="l1")(L.Conv2D(8, 1)(x))
    y = L.ReLU(activity_regularizer="l1")(L.Conv2D(8, 1)(y))
    model = keras.Model(x, L.Dense(3)(y))
    pruned = spp.prune(model, pruning_ratio=0.5, round_to=1)
    for part in (model, pruned, spp.shrink(pruned)):
        for layer in (part.layers[2], part.layers[4]):
            assert isinstance(layer.activity_regularizer, keras.regularizers.L1)


def test_a_recurrent_layers_gates_are_held_too():
    cell = L.LSTM(8, recurrent_regularizer=PerChannel(np.arange(1.0, 33.0)), name="conv")
    held = model(L.Dense(6, name="next"), cell, shape=(6, 5))
    assert spp.analyze(held)[1].reason == Reason.HELD
    assert trained(held).get_layer("next").units == 3


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_regularizer": "l2", "activity_regularizer": "l1", "bias_regularizer": "l1_l2"},
        {"kernel_constraint": "max_norm", "bias_constraint": "non_neg"},
        {"kernel_regularizer": lambda w: 1e-3 * tf.reduce_mean(tf.abs(w))},
        {"kernel_constraint": lambda w: tf.clip_by_value(w, -1.0, 1.0)},
        {"kernel_regularizer": lambda w: 0.0},
        {"kernel_regularizer": PerChannel([0.5])},
    ],
    ids=["penalties", "constraints", "penalty", "constraint", "nothing", "one number"],
)
def test_what_works_for_any_size_holds_nothing(options):
    free = model(conv(**options), L.BatchNormalization(gamma_regularizer="l2"), conv("next"))
    assert all(row.reason is None for row in list(spp.analyze(free))[:-1])
    pruned = spp.prune(free, pruning_ratio=0.5, round_to=1)
    assert spp.Pruner(pruned).progress().goal == 8  # wrappers' own constraints hold nothing either
