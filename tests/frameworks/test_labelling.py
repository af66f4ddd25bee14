import inspect

import pytest
import tf_keras as keras

import keras_spp as spp
from keras_spp.core.call import Framework
from keras_spp.frameworks.tf_keras import labelling
from tests.zoo.models import L

ASKED = [name for name in vars(Framework) if not name.startswith("_")]


@pytest.mark.parametrize("name", ASKED)
def test_tf_keras_answers_what_rules_ask(name):
    asked = list(inspect.signature(getattr(Framework, name)).parameters)[1:]
    assert list(inspect.signature(getattr(labelling, name)).parameters) == asked
    assert name in labelling.__all__ and len(labelling.__all__) == len(ASKED)


def asked(*behind, pruned=False):
    """Whether the mask of a layer is asked for by those behind it."""
    x = keras.Input((6, 5))
    y = L.Masking(name="masking")(x)
    for layer in behind:
        y = layer(y)
    model = keras.Model(x, y)
    model = spp.prune(model, pruning_ratio=0.0, round_to=1) if pruned else model
    return labelling.asks_for_mask(model.get_layer("masking"))


def test_a_mask_is_asked_for_through_layers_that_pass_it_on():
    assert asked(L.Dense(8), L.Dense(4), L.LSTM(3))
    assert asked(L.Dense(8), L.Dense(4), L.LSTM(3), pruned=True)
    assert not asked(L.Dense(8), L.Dense(4))
    assert not asked(L.Dense(8), L.Dense(4), pruned=True)
    assert not asked(L.Dense(8), L.Conv1D(4, 3), L.LSTM(3))
    inner = keras.Sequential([keras.Input((6, 5)), L.Dense(2)])
    assert asked(L.Dense(5), inner, L.Dense(3))  # what is inside is not looked at
