import numpy as np

from keras_spp.core.channels import Channels, Reason, Tensor
from keras_spp.core.coupling import couple
from tests.helpers.records import Kernel, Layer


def test_new_labels_are_never_given_twice():
    channels = Channels()
    assert channels.new(3).tolist() == [0, 1, 2]
    assert channels.new(2).tolist() == [3, 4]


def test_tied_labels_become_one_class_and_chains_of_ties_too():
    channels = Channels()
    a, b, c = channels.new(2), channels.new(2), channels.new(2)
    channels.tie(a, b)
    channels.tie(b, c[::-1])
    of = couple(channels).of_label
    assert of[a[0]] == of[b[0]] == of[c[1]] != of[a[1]] == of[c[0]]


def test_a_class_is_prunable_only_if_it_is_read_and_nothing_freezes_any_of_its_labels():
    channels, layer, kernel = Channels(), Layer(), Kernel(4, 8)
    read, tied, unread = channels.new(4), channels.new(1), channels.new(1)
    channels.label(layer, kernel, 0, read, "reads")
    channels.tie(read[1:2], tied)
    channels.freeze(tied, Reason.OUTPUT, "layer")
    channels.freeze(read[1], Reason.MIXES)
    coupling = couple(channels)
    of = coupling.of_label
    assert coupling.prunable[of[read]].tolist() == [True, False, True, True]
    assert coupling.reasons[of[tied[0]]] == (Reason.OUTPUT, "layer")  # the first one given
    assert coupling.reasons[of[unread[0]]] == (Reason.UNREAD, "")


def test_an_axis_that_is_labelled_twice_ties_both_labels():
    channels, layer, kernel = Channels(), Layer(), Kernel(2, 3)
    first, second = channels.new(3), channels.new(3)
    channels.label(layer, kernel, -1, first, "writes")
    channels.label(layer, kernel, 1, second, "writes")
    of = couple(channels).of_label
    assert (of[first] == of[second]).all()


def test_labels_along_an_axis_tie_what_differs_elsewhere():
    channels = Channels()
    labels = channels.new(6).reshape(1, 2, 3)
    assert channels.vector(Tensor(labels, (None, 2, 3))).tolist() == [0, 1, 2]
    of = couple(channels).of_label
    assert (of[:3] == of[3:]).all()


def test_settled_labels_vary_along_one_axis_the_one_with_most_channels():
    channels = Channels()
    labels = channels.new(8).reshape(1, 2, 4)
    settled = channels.settle(labels)
    assert settled.shape == (1, 1, 4)
    of = couple(channels).of_label
    assert len(set(of)) == 4
    constant = np.broadcast_to(channels.new(3), (1, 5, 3))
    assert channels.settle(constant).shape == (1, 1, 3)


def test_channels_die_when_all_readers_have_lost_them_and_never_the_last_of_an_axis():
    channels, layer = Channels(), Layer()
    first, second = Kernel(1, 1, 3, 8), Kernel(3, 5)
    labels = channels.new(3)
    channels.label(layer, first, 2, labels, "reads")
    channels.label(layer, second, 0, labels, "reads")
    coupling = couple(channels)
    column = np.array([False, True, False]).reshape(1, 1, 3, 1)
    row = np.array([False, False, True]).reshape(3, 1)
    assert coupling.dead({id(first): column}).tolist() == [False] * 3  # the other reader sees all
    assert coupling.dead({id(first): column, id(second): row}).tolist() == [True, False, False]
    nothing = {id(first): column & False, id(second): row & False}
    assert coupling.dead(nothing).tolist() == [False, True, True]


def test_a_shared_layers_config_ties_the_calls_that_share_it():
    channels, layer = Channels(), Layer()
    first, second, longer = channels.new(2), channels.new(2), channels.new(3)
    channels.edit(layer, "units", [first], len)
    channels.edit(layer, "units", [second], len)
    channels.edit(layer, "units", [longer], len)
    coupling = couple(channels)
    assert (coupling.of_label[first] == coupling.of_label[second]).all()
    assert coupling.reasons[coupling.of_label[longer[0]]] == (Reason.SHARED, "layer")


def test_costs_of_several_calls_add_up_and_an_open_size_is_remembered():
    channels, layer, kernel = Channels(), Layer(), Kernel(3, 3, 2, 2)
    channels.cost(layer, kernel, (8, 8))
    channels.cost(layer, kernel, (4, 4))
    assert channels.kernels[id(kernel)].positions == 80
    assert not channels.unknown_size
    channels.cost(layer, Kernel(1, 1), (None, 4))
    assert channels.unknown_size
