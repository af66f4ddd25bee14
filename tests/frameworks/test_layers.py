import numpy as np
import pytest
import tensorflow_model_optimization as tfmot
import tf_keras as keras

import keras_spp as spp
from keras_spp.frameworks.tf_keras.layers import plain_class
from tests.zoo.models import L, inputs_for, randomize

sparsity = tfmot.sparsity.keras


def by_hand(kind):
    """A network whose convolutions are of one class."""
    x = inputs = keras.Input((6, 6, 3))
    x = kind(12, 3, padding="same", activation="relu", name="first")(x)
    x = kind(8, 3, strides=2, use_bias=False, name="second")(x)
    x = L.GlobalAveragePooling2D()(x)
    return randomize(keras.Model(inputs, L.Dense(3, name="head")(x)))


def test_it_computes_what_a_stock_convolution_computes():
    (x,) = inputs_for(by_hand(L.Conv2D))
    np.testing.assert_array_equal(by_hand(spp.PrunableConv2D)(x), by_hand(L.Conv2D)(x))


def test_it_is_a_prunable_layer_of_tfmot_with_its_kernel():
    layer = spp.PrunableConv2D(4, 3)
    layer.build((None, 6, 6, 3))
    assert isinstance(layer, sparsity.PrunableLayer)
    assert layer.get_prunable_weights() == [layer.kernel]


@pytest.mark.parametrize("suffix", [".keras", ".h5", ""])
def test_it_is_loaded_without_custom_objects(suffix, tmp_path):
    model = by_hand(spp.PrunableConv2D)
    model.save(tmp_path / f"model{suffix}")
    loaded = keras.models.load_model(tmp_path / f"model{suffix}", compile=False)
    assert type(loaded.get_layer("first")) is spp.PrunableConv2D
    assert loaded.get_layer("first").get_config() == model.get_layer("first").get_config()
    (x,) = inputs_for(model)
    np.testing.assert_array_equal(loaded(x), model(x))


def test_stock_tfmot_prunes_it():
    pruned = sparsity.prune_low_magnitude(
        by_hand(spp.PrunableConv2D), sparsity.ConstantSparsity(0.5, begin_step=1, frequency=1)
    )
    pruned.compile("sgd", "mse")
    (x,) = inputs_for(pruned, batch=16)
    callbacks = [sparsity.UpdatePruningStep()]
    pruned.fit(x, np.zeros((16, 3)), batch_size=4, verbose=0, callbacks=callbacks)
    kernel = pruned.get_layer("prune_low_magnitude_first").layer.kernel.numpy()
    assert np.mean(kernel == 0) == 0.5


@pytest.mark.parametrize("granularity", ["channel", "column"])
def test_spp_prunes_it_and_shrink_replaces_it_with_a_stock_convolution(granularity, tmp_path):
    schedule = spp.SPPSchedule(A=0.5, frequency=1)
    pruned = spp.prune(
        by_hand(spp.PrunableConv2D), 0.5, granularity=granularity, schedule=schedule, round_to=1
    )
    pruned.compile("sgd", "mse")
    (x,) = inputs_for(pruned, batch=64)
    pruned.fit(x, np.zeros((64, 3)), batch_size=2, verbose=0, callbacks=[spp.SPPCallback()])
    small = spp.shrink(pruned)
    assert [type(layer) for layer in small.layers] == [
        type(layer) for layer in by_hand(L.Conv2D).layers
    ]
    if granularity == "channel":
        assert [small.get_layer(name).filters for name in ("first", "second")] == [6, 4]
    np.testing.assert_allclose(small(x), pruned(x, training=False), rtol=1e-5, atol=1e-6)
    assert "keras_spp" not in small.to_json()


def test_a_subclass_of_it_stays_what_it_is_in_a_shrunk_model():
    class Mine(spp.PrunableConv2D):
        pass

    assert plain_class(spp.PrunableConv2D(1, 1)) is L.Conv2D
    assert plain_class(Mine(1, 1)) is Mine
    assert plain_class(L.Dense(1)) is L.Dense


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_pruned_model_with_such_a_layer_loads_and_shrinks(tmp_path, suffix):
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), spp.PrunableConv2D(16, 3), spp.PrunableConv2D(4, 1), L.Flatten()]
    )
    pruned = spp.prune(randomize(model), 0.5)
    pruned.save(path := tmp_path / f"pruned{suffix}")
    for loaded in (keras.models.load_model(path), spp.load_model(path)):
        assert type(loaded.layers[1].layer) is spp.PrunableConv2D
        for before, after in zip(pruned.get_weights(), loaded.get_weights(), strict=True):
            np.testing.assert_array_equal(before, after)
