"""Pruned, shrunk, pruned and shrunk again: what is said counts from the first model."""

import numpy as np
import pytest

import keras_spp as spp
from keras_spp.analysis.provenance import describe, pruned_from
from tests.helpers.both_keras import TF_KERAS, L, keras
from tests.helpers.random_weights import random_probabilities, randomize

pytestmark = pytest.mark.usefixtures("keras")


def network():
    x = keras.Input((8, 8, 3))
    y = L.ReLU()(L.Conv2D(32, 3, name="first")(x))
    y = L.Conv2D(32, 3, name="second", activation="relu")(y)
    return randomize(keras.Model(x, L.Dense(4, name="head")(L.GlobalAveragePooling2D()(y))))


def reload(model, path):
    model.save(path)
    return keras.models.load_model(path)


def once(model, speedup, keep=lambda pruned: pruned):
    pruned = spp.prune(model, target_speedup=speedup, round_to=1)
    random_probabilities(pruned, settled=True)
    return spp.shrink(keep(pruned))


def without_round(found):
    return {key: value for key, value in found.items() if key != "last_round"}


@pytest.mark.parametrize("name", [None, "m.keras", "m.h5", pytest.param("m", marks=TF_KERAS)])
def test_a_model_pruned_three_times_says_both(tmp_path, name):
    """Also if each pruned model was trained, saved and loaded between."""
    keep = (lambda pruned: reload(pruned, tmp_path / name)) if name else lambda pruned: pruned
    rounds = [network()]
    for speedup in (2.0, 1.5, 1.2):
        rounds.append(once(rounds[-1], speedup, keep))
        first, last, small = rounds[0], rounds[-2], rounds[-1]
        found = pruned_from(small, None)
        assert without_round(found) == pruned_from(small, first)
        assert found.get("last_round") == (pruned_from(small, last) if len(rounds) > 2 else None)
    assert found["speedup"] > 2 * 1.5 * 1.2 > 2 * 1.2 > found["last_round"]["speedup"]
    report = spp.export_tflite(small, tmp_path / "m.tflite")
    assert report.metadata["pruned"] == found
    assert f"{found['speedup']:.2f}x fewer MACs" in str(report)


def test_an_original_that_is_given_is_decisive(tmp_path):
    first = network()
    last = once(first, 2.0)
    small = once(last, 1.5)
    report = spp.export_tflite(small, tmp_path / "m.tflite", original=last)
    assert report.metadata["pruned"] == pruned_from(small, last)
    assert "last_round" not in report.metadata["pruned"]


def test_a_plain_file_between_two_rounds_begins_anew(tmp_path):
    last = reload(once(network(), 2.0), tmp_path / "m.keras")
    small = once(last, 1.5)
    assert pruned_from(small, None) == pruned_from(small, last)


def test_training_between_two_rounds_is_no_harm():
    first = network()
    last = once(first, 2.0)
    last.compile("sgd", "mse")
    last.fit(np.ones((4, 8, 8, 3)), np.ones((4, 4)), verbose=0)
    assert without_round(pruned_from(once(last, 1.5), None))["macs"][0] == describe(first)["macs"]


def test_sizes_of_inputs_may_differ_from_round_to_round():
    """Each round's numbers count at the sizes that it was given."""
    x = keras.Input((None, None, 3))
    y = L.Conv2D(32, 3, strides=2, name="first")(x)
    y = L.GlobalAveragePooling2D()(L.Conv2D(32, 3, name="second")(y))
    first = randomize(keras.Model(x, L.Dense(4, name="head")(y)))
    small = [first]
    for size in (16, 32):
        pruned = spp.prune(small[-1], target_speedup=1.5, round_to=1, input_shape=(size, size, 3))
        random_probabilities(pruned, settled=True)
        small.append(spp.shrink(pruned))

    def macs(model, size):
        return spp.analyze(model, input_shape=(size, size, 3)).macs

    found = pruned_from(small[-1], None)
    assert found["macs"] == [macs(first, 16), macs(small[-1], 16)]
    assert found["last_round"]["macs"] == [macs(small[1], 32), macs(small[-1], 32)]
