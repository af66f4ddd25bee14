"""The layer Dot: the channels that it sums over stay, those of one other axis can go."""

import pytest
import tf_keras as keras

import keras_spp as spp
from keras_spp.core.channels import Reason
from tests.zoo.models import L, random_probabilities, randomize, relative_error


def attention():
    """Attention over six positions, written with Dot."""
    x = keras.Input((6, 5))
    query, key, value = (L.Dense(8, name=name)(x) for name in ("query", "key", "value"))
    weights = L.Softmax()(L.Dot((2, 2), name="compared")([query, key]))
    y = L.Dot((2, 1), name="summed")([weights, value])
    return randomize(keras.Model(x, L.Dense(3, name="behind")(y)))


def test_channels_of_the_values_can_go():
    model = attention()
    rows = {row.layer: row for row in spp.analyze(model)}
    assert [rows[name].groups for name in ("query", "key", "value")] == [0, 0, 8]
    assert rows["query"].reason == rows["key"].reason == f"{Reason.MIXES} (compared)"
    assert (rows["compared"].macs, rows["summed"].macs) == (6 * 6 * 8, 6 * 6 * 8)
    pruned = spp.prune(model, 0.5, round_to=1)
    random_probabilities(pruned, settled=True)
    small = spp.shrink(pruned)
    assert small.get_layer("value").units == 4
    assert relative_error(pruned, small) <= 2e-5


@pytest.mark.parametrize("normalize", [False, True])
def test_vectors_that_are_multiplied_keep_their_channels(normalize):
    x = keras.Input((5,))
    y = L.Dot(-1, normalize=normalize)([L.Dense(8, name="one")(x), L.Dense(8, name="other")(x)])
    rows = {row.layer: row for row in spp.analyze(keras.Model(x, L.Dense(2)(y)))}
    assert rows["one"].reason == rows["other"].reason == f"{Reason.MIXES} (dot)"
