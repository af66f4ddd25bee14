import numpy as np
import pytest

from keras_spp.core.groups import Groups
from tests.helpers.records import Record


def sizes(groups):
    return {entry.name: entry.size for entry in groups.sets}


def test_layers_whose_outputs_are_added_form_one_set():
    net = Record()
    x = net.image(3)
    a, b = net.conv("a", x, 8), net.conv("b", x, 8)
    net.channels.tie(a, b)
    groups = net.groups(net.dense("dense", a, 4))
    assert sizes(groups) == {"a": 8}
    assert groups.sets[0].layers == ["a", "b"]


def test_a_residual_stream_that_widens_has_one_set_per_width():
    net = Record()
    narrow = net.conv("narrow", net.image(3), 8)
    padded = np.concatenate([net.channels.new(4), narrow, net.channels.new(4)])
    net.channels.tie(padded, net.conv("wide", narrow, 16))
    groups = net.groups(net.dense("dense", padded, 4))
    assert sizes(groups) == {"narrow": 8, "wide": 8}
    (reader,) = [r for r in groups.readers if r.layer.name == "dense"]
    # Positions 4 to 11 of the wide tensor are the narrow one's channels; its own come first.
    assert reader.weights[0].config()["index"] == [0, 1, 2, 3, *range(8, 16), 4, 5, 6, 7]


def test_channels_that_are_split_off_form_their_own_sets():
    net = Record()
    left, right = np.split(net.conv("a", net.image(3), 12), [4])
    groups = net.groups(net.dense("left", left, 4), net.dense("right", right, 4))
    assert sizes(groups) == {"a": 4, "a#2": 8}


def test_positions_behind_a_flatten_share_their_channels_group():
    net = Record()
    flat = np.tile(net.conv("a", net.image(3), 8), 16)
    (reader,) = net.groups(net.dense("dense", flat, 4)).readers
    assert reader.weights[0].config()["shape"] == [128, 1]
    assert reader.weights[0].config()["index"] == list(range(8)) * 16


def test_frozen_positions_of_a_reader_have_no_group():
    net = Record()
    x = net.image(3)
    both = np.concatenate([x, net.conv("a", x, 8)])
    (reader,) = net.groups(net.dense("dense", both, 4)).readers
    assert reader.weights[0].config()["index"] == [8, 8, 8, *range(8)]


def test_columns_are_the_positions_of_a_convolutions_kernel_and_dense_layers_have_none():
    net = Record()
    y = net.conv("a", net.image(3), 8, size=3)
    y = net.layer("b", y, (2, 2, 6, 8), reads=-1, writes=-2)  # a transposed convolution
    y = net.layer("c", y, (1, 1, 6, 5))  # the pointwise kernel of a separable convolution
    groups = net.groups(net.dense("dense", np.tile(y, 49), 4), granularity="column")
    assert sizes(groups) == {"a": 27, "b": 32, "c": 6}
    shapes = {reader.layer.name: reader.weights[0].config()["shape"] for reader in groups.readers}
    assert shapes == {"a": [3, 3, 3, 1], "b": [2, 2, 1, 8], "c": [1, 1, 6, 1]}


@pytest.mark.parametrize("granularity", ["channel", "column"])
def test_macs_fall_with_the_goals(granularity):
    net, at = Record(), {"positions": (8, 8)}
    y = net.conv("b", net.conv("a", net.image(3), 8, **at), 8, **at)
    groups = net.groups(net.dense("dense", y, 4, **at), granularity=granularity)
    dense = groups.cost([0, 0])
    assert dense == groups.dense() == 64 * (3 * 8 + 8 * 8 + 8 * 4)
    goals = {"a": 4, "b": 2} if granularity == "channel" else {"a": 1, "b": 4}
    left = {"channel": 3 * 4 + 4 * 6 + 6 * 4, "column": 2 * 8 + 4 * 8 + 8 * 4}
    cost = groups.cost([goals[entry.name] for entry in groups.sets])
    assert cost == 64 * left[granularity]


def test_what_columns_free_is_foreseen_where_scores_say_which_go():
    net, at = Record(), {"positions": (7, 7)}
    y = net.conv("b", net.conv("a", net.image(3), 4, size=2, **at), 2, **at)
    coupling = net.coupling(y)
    scores = {"a": np.arange(12), "b": np.array([3, 1, 2, 0])}
    groups = Groups(coupling, "column", scores=lambda groups: scores)
    blind = Groups(coupling, "column")
    assert groups.kept([0, 2], scores)["b"].tolist() == [True, False, True, False]
    assert blind.kept([0, 2])["b"].tolist() == [False, False, True, True]
    assert blind.cost([0, 2]) == 49 * (4 * 3 * 4 + 2 * 2)
    assert groups.cost([0, 2]) == 49 * (4 * 3 * 2 + 2 * 2)  # two filters of "a" are read no more


def test_the_same_groups_may_cost_something_else():
    class Survivors:
        def left(self, dead=None, alive=None):
            return 20 if dead is None else 20 - int(dead.sum())

    net, at = Record(), {"positions": (8, 8)}
    y = net.conv("b", net.conv("a", net.image(3), 8, **at), 8, **at)
    groups = net.groups(net.dense("dense", y, 4, **at))
    priced = groups.priced(Survivors())
    assert (priced.dense(), priced.cost([3, 4])) == (20, 13)
    assert priced.sets is groups.sets and groups.dense() > 20


def test_seeds_differ_between_sets_and_between_runs():
    net = Record()
    y = net.conv("b", net.conv("a", net.image(3), 8), 8)
    coupling = net.coupling(net.dense("dense", y, 4))
    seeds = [entry.seed for run in (0, 1) for entry in Groups(coupling, "channel", run).sets]
    assert len(set(seeds)) == len(seeds) == 4
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert isinstance(seeds[0], int) and np.isfinite(seeds).all()


def test_round_to_counts_channels_where_a_group_has_several():
    net = Record()
    y = net.conv("before", net.image(3), 32)
    y = net.conv("after", net.conv("grouped", y, 32, size=3, groups=4), 16)
    groups = net.groups(net.dense("dense", y, 4))
    (grouped,) = [entry for entry in groups.sets if entry.name == "grouped"]
    assert (grouped.size, grouped.width) == (8, 4)
    assert [grouped.step(n) for n in (1, 2, 8, 16)] == [1, 1, 2, 4]


def test_a_readers_values_are_split_by_its_sets():
    net = Record()
    x = net.image(3)
    a, b = net.conv("a", x, 4), net.conv("b", x, 6)
    (reader,) = net.groups(net.dense("dense", np.concatenate([b, a]), 4)).readers
    parts = {entry.name: part.tolist() for entry, part in reader.split(np.arange(10))}
    assert parts == {"b": [0, 1, 2, 3, 4, 5], "a": [6, 7, 8, 9]}
    np.testing.assert_array_equal(reader.joined(parts), np.arange(10))
