import pytest

import keras_spp as spp
from keras_spp import frameworks
from keras_spp.core.groups import Groups
from tests.helpers.both_keras import L, keras, ops
from tests.helpers.wrappers import find_wrappers

pytestmark = pytest.mark.usefixtures("keras")


def found(x, y, granularity="channel"):
    model = keras.Model(x, y)
    return Groups(frameworks.of(model).label(model), granularity)


def sizes(groups):
    return {entry.name: entry.size for entry in groups.sets}


def test_a_residual_stream_that_widens_has_one_set_per_width():
    x = keras.Input((8, 8, 3))
    narrow = L.Conv2D(8, 1, name="narrow")(x)
    wide = ops.pad(narrow, [[0, 0], [0, 0], [0, 0], [4, 4]])
    y = L.Add()([wide, L.Conv2D(16, 1, name="wide")(narrow)])
    groups = found(x, L.Dense(4, name="head")(y))
    assert sizes(groups) == {"narrow": 8, "wide": 8}
    (reader,) = [r for r in groups.readers if r.layer.name == "head"]
    # Positions 4 to 11 of the wide tensor are the narrow one's channels; its own come first.
    assert reader.weights[0].config()["index"] == [0, 1, 2, 3, *range(8, 16), 4, 5, 6, 7]


def test_channels_that_are_split_off_form_their_own_sets():
    x = keras.Input((8, 8, 3))
    y = L.Conv2D(12, 1, name="a")(x)
    groups = found(x, [L.Dense(4)(y[..., :4]), L.Dense(4)(y[..., 4:])])
    assert sizes(groups) == {"a": 4, "a#2": 8}


def test_positions_behind_a_flatten_share_their_channels_group():
    x = keras.Input((4, 4, 3))
    y = L.Flatten()(L.Conv2D(8, 1, name="a")(x))
    (reader,) = found(x, L.Dense(4)(y)).readers
    assert reader.weights[0].config()["shape"] == [128, 1]
    assert reader.weights[0].config()["index"] == list(range(8)) * 16


def test_frozen_positions_of_a_reader_have_no_group():
    x = keras.Input((4, 4, 3))
    y = L.Concatenate()([x, L.Conv2D(8, 1, name="a")(x)])
    (reader,) = found(x, L.Dense(4)(y)).readers
    assert reader.weights[0].config()["index"] == [8, 8, 8, *range(8)]


def test_columns_are_the_positions_of_a_convolutions_kernel_and_dense_layers_have_none():
    x = keras.Input((8, 8, 3))
    y = L.Conv2D(8, 3, name="a")(x)
    y = L.Conv2DTranspose(6, 2, name="b")(y)
    y = L.SeparableConv2D(5, 3, name="c")(y)
    groups = found(x, L.Dense(4)(L.Flatten()(y)), "column")
    assert sizes(groups) == {"a": 27, "b": 32, "c": 6}
    shapes = {reader.layer.name: reader.weights[0].config()["shape"] for reader in groups.readers}
    assert shapes == {"a": [3, 3, 3, 1], "b": [2, 2, 1, 8], "c": [1, 1, 6, 1]}


def test_round_to_counts_channels_where_a_group_has_several():
    x = keras.Input((8, 8, 3))
    y = L.Conv2D(32, 3, groups=4, name="grouped")(L.Conv2D(32, 1, name="before")(x))
    groups = found(x, L.Dense(4)(L.ReLU()(L.Conv2D(16, 1)(y))))
    (grouped,) = [entry for entry in groups.sets if entry.name == "grouped"]
    assert (grouped.size, grouped.width) == (8, 4)
    assert [grouped.step(n) for n in (1, 2, 8, 16)] == [1, 1, 2, 4]
    pruned = spp.prune(keras.Model(x, L.Dense(4)(y)), pruning_ratio=0.5, round_to=8)
    goals = {e["name"]: e["goal"] for w in find_wrappers(pruned) for e in w.sets}
    assert goals["grouped"] == 4
