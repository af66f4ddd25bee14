"""Multiply-accumulates of records written by hand."""

import numpy as np

from keras_spp.core.cost import MACs, kernel_macs
from tests.helpers.records import Layer, Record


def two_convolutions():
    """A record, and the labels of the first one's channels."""
    net = Record()
    made = net.conv("first", net.image(3), 8, size=3, positions=(6, 6))
    y = net.conv("second", made, 4, positions=(6, 6))
    return net, made, net.coupling(net.dense("dense", y, 2, positions=(6, 6)))


def test_each_element_of_a_kernel_costs_its_positions():
    net = Record()
    y = net.conv("conv", net.image(3), 4, size=3, positions=(6, 6))
    y = net.conv("grouped", y, 4, size=3, positions=(6, 6), groups=2)
    y = net.layer("transposed", y, (2, 2, 2, 4), reads=-1, writes=-2, positions=(6, 6))
    coupling = net.coupling(net.dense("dense", y, 5, positions=(12, 12)))
    kernels = net.channels.kernels.values()
    assert {kernel.layer.name: kernel_macs(coupling, kernel) for kernel in kernels} == {
        "conv": 36 * 9 * 3 * 4,
        "grouped": 36 * 9 * 2 * 4,
        "transposed": 36 * 4 * 4 * 2,
        "dense": 144 * 2 * 5,
    }


def test_dead_channels_cost_neither_whoever_makes_nor_whoever_reads_them():
    _, made, coupling = two_convolutions()
    macs, dead = MACs(coupling), np.zeros(coupling.count, bool)
    assert macs.left(dead) == macs.left() == 36 * (9 * 3 * 8 + 8 * 4 + 4 * 2)
    dead[coupling.of_label[made[:3]]] = True
    assert macs.left(dead) == 36 * (9 * 3 * 5 + 5 * 4 + 4 * 2)


def test_pruned_columns_cost_nothing():
    net = Record()
    coupling = net.coupling(net.conv("conv", net.image(4), 4, size=3, positions=(8, 8)))
    mask = np.ones((3, 3, 4, 1), bool)
    mask[0] = False
    (kernel,) = net.channels.kernels
    alive = {kernel: mask}
    assert MACs(coupling).left(alive=alive) == MACs(coupling).left() * 2 // 3


def test_what_is_measured_counts_but_not_where_only_convolutions_do():
    net, _, coupling = two_convolutions()
    net.channels.cost_measured(Layer("product"), 1000)
    convolutions = 36 * (9 * 3 * 8 + 8 * 4)
    assert MACs(coupling).left() == convolutions + 36 * 4 * 2 + 1000
    assert MACs(coupling, "convolutions").left() == convolutions


def test_channels_with_equal_shares_in_what_is_measured_take_them_along():
    net, made, coupling = two_convolutions()
    product = Layer("product")
    net.channels.leave_to_measure(product, made)
    for layer in (*net.channels.take_unmeasured(), Layer("other")):
        net.channels.cost_measured(layer, 800)
    dead = np.zeros(coupling.count, bool)
    before = MACs(coupling).left(dead)
    dead[coupling.of_label[made[:3]]] = True
    kernels = 36 * 3 * (9 * 3 + 4)
    assert before - MACs(coupling).left(dead) == kernels + 300
