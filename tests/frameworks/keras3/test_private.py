"""Pins the private names of Keras 3 that `private.py` relies on."""

import importlib.metadata
import inspect

import keras
import numpy as np
import pytest
from packaging.specifiers import SpecifierSet

from keras_spp.frameworks.keras3 import private, stack
from keras_spp.training.hooks import Hooks
from keras_spp.version import KERAS_3
from tests.zoo.keras3_models import L, ops


def net():
    x = inputs = keras.Input((4,), name="x")
    x = L.Dropout(0.5, name="drop")(L.Dense(8, name="first")(x))
    return keras.Model({"x": inputs}, L.Dense(2, name="last")(ops.relu(x)))


def test_the_installed_keras_is_one_that_these_names_are_known_of(monkeypatch):
    assert SpecifierSet(KERAS_3).contains(keras.__version__)
    stack.check()
    found = ["3.8.0", "3.99.0"]
    monkeypatch.setattr(importlib.metadata, "version", lambda name: found[0])
    with pytest.raises(ImportError, match=r"needs keras.* for Keras 3 models but found 3\.8\.0:"):
        stack.check()
    del found[0]
    with pytest.warns(UserWarning, match=r"tested with keras.* found 3\.99\.0, which is newer"):
        stack.check()


def test_calls_come_in_the_order_in_which_the_model_makes_them():
    calls = list(private.calls_in_order(net()))
    names = [call.operation.name.rstrip("_0123456789") for call in calls]
    assert names == ["x", "first", "drop", "relu", "last"]
    assert [call.is_input for call in calls] == [True, False, False, False, False]
    call = calls[1]
    assert call.arguments.args == (calls[0].outputs[0],) and not call.arguments.kwargs


def test_a_sequential_keeps_its_graph_inside():
    built = keras.Sequential([keras.Input((4,)), L.Dense(2)])
    assert isinstance(private.functional(built), private.Functional)
    assert private.functional(keras.Sequential([L.Dense(2)])) is None
    assert private.functional(L.Dense(2)) is None
    assert private.functional(model := net()) is model


def test_tensors_know_where_they_come_from_and_layers_where_they_go():
    model = net()
    layer, number, place = private.origin(model.outputs[0])
    assert (layer.name, number, place) == ("last", 0, 0)
    assert private.call_of(layer, number).input_tensors[0].shape == (None, 8)
    assert [other.name for other in private.consumers(model.get_layer("first"))] == ["drop"]


def test_a_copy_of_a_function_is_not_called_yet():
    relu = next(c.operation for c in private.calls_in_order(net()) if "relu" in c.operation.name)
    twin = private.uncalled(relu)
    assert relu._inbound_nodes and not twin._inbound_nodes and not twin._outbound_nodes


def test_inputs_are_conformed_to_the_types_and_ranks_of_the_model():
    (tensor,) = private.conformed(net(), {"x": np.ones((3, 4), "float64")})
    assert keras.backend.standardize_dtype(tensor.dtype) == "float32"


def test_a_model_gets_anothers_own_flag_and_the_layers_inside_keep_theirs():
    model, other = net(), net()
    other._trainable = False
    private.share_trainable(model, other)
    assert not model.trainable and model.get_layer("first").trainable


def test_layers_say_which_arguments_their_call_takes():
    assert private.expects_training(L.Dropout(0.5)) and not private.expects_training(L.ReLU())
    assert private.expects_mask(L.LSTM(2)) and not private.expects_mask(L.Dense(2))
    assert private.expects_mask(L.Lambda(lambda x, mask: x))
    assert not private.expects_mask(L.Lambda(lambda x: x))
    assert not private.expects_training(keras.Operation())


def test_parts_are_a_layer_and_those_in_it():
    layer = L.Bidirectional(L.LSTM(2))
    assert {type(part).__name__ for part in private.parts(layer)} == {
        "Bidirectional", "LSTM", "LSTMCell",
    }  # fmt: skip


def test_losses_of_calls_are_put_back():
    layer = L.Dense(2, activity_regularizer="l2")
    layer(np.ones((1, 3), "float32"))
    (before,) = layer.losses
    with private.losses_as_they_were(layer):
        layer(2 * np.ones((1, 3), "float32"))
        assert float(layer.losses[0]) > float(before)
    assert layer.losses == [before]


def test_masks_of_time_steps_are_read_and_given():
    x = ops.convert_to_tensor(np.ones((1, 3), "float32"))
    assert private.sequence_mask(x) is None
    assert private.sequence_mask(private.with_sequence_mask(x, "mask")) == "mask"


def test_slots_are_what_an_optimizer_keeps_of_one_weight():
    model = net()
    optimizer = keras.optimizers.Adam()
    optimizer.build(model.trainable_variables)
    kernel = model.get_layer("last").kernel
    assert [tuple(slot.shape) for slot in private.slots(optimizer, kernel).values()] == [(8, 2)] * 2
    assert private.slots(optimizer, keras.Variable(np.ones(3))) == {}


def test_a_class_is_made_again_only_with_inputs_and_outputs():
    class Own(keras.Model):
        def __init__(self, units):
            super().__init__()

    class Trainer(keras.Model):
        pass

    x = keras.Input((2,))
    assert private.functional_like_constructor(type(Trainer(x, x + 1)))
    assert not private.functional_like_constructor(Own)


def test_keras_writes_backups_and_begins_epochs_where_ours_do_it():
    kind = keras.callbacks.BackupAndRestore
    assert "self._save_model()" in inspect.getsource(kind.on_epoch_end)
    assert "_current_epoch" in inspect.getsource(kind.on_epoch_end)
    assert "self.model._initial_epoch" in inspect.getsource(kind)
    assert "_initial_epoch" in inspect.getsource(keras.Model.fit)
    source = inspect.getsource(keras.callbacks.ModelCheckpoint._save_model)
    assert "self.model.save(" in source and "self.model.save_weights(" in source


def test_what_keras_asks_of_callbacks_ours_have():
    for name, method in vars(keras.callbacks.Callback).items():
        if name.startswith("on_"):
            ours = getattr(Hooks, name)
            names = (list(inspect.signature(each).parameters) for each in (ours, method))
            assert next(names) == next(names), name
            assert getattr(method, "_is_default", False) == getattr(ours, "_is_default", False)
