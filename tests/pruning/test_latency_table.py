import re

import numpy as np
import pytest

import keras_spp as spp
from keras_spp import frameworks
from keras_spp.pruning.latency_table import LatencyTable


class Lawful(spp.Device):
    """A device on which a layer takes 2 ms x (channels read)^0.7 x (channels made)^0.4."""

    def __init__(self):
        super().__init__()
        self.measured = []

    def measure(self, files):
        for key, content in files.items():
            assert content[4:8] == b"TFL3"
            reads, makes = re.search(r"(\d+) to (\d+)", key).groups()
            self._latencies[key] = 2 * int(reads) ** 0.7 * int(makes) ** 0.4
        self.measured.append(list(files))


def priced(keras, x, y, device):
    model = keras.Model(x, y)
    framework = frameworks.of(model)
    coupling = framework.label(model)
    kernels = {kernel.layer.name: kernel for kernel in coupling.channels.kernels.values()}
    return LatencyTable(coupling, device, framework.input_shapes(model), framework), kernels


def net(keras):
    x = keras.Input((8, 8, 16))
    y = keras.layers.Conv2D(32, 3, name="conv", activation="relu")(x)
    y = keras.layers.DepthwiseConv2D(3, name="depthwise")(y)
    y = keras.layers.Conv2DTranspose(12, 3, name="transposed")(y)
    y = keras.layers.GlobalAveragePooling2D()(
        keras.layers.Conv2D(24, 1, groups=2, name="grouped")(y)
    )
    return x, keras.layers.Dense(10, name="dense")(y)


def test_latencies_between_the_measured_sizes_follow_their_law(keras):
    table, kernels = priced(keras, *net(keras), Lawful())
    for name, shape, reads, makes in (
        ("conv", [3, 3, 16, 32], 16, 32),
        ("conv", [3, 3, 7, 19], 7, 19),
        ("depthwise", [3, 3, 11, 1], 11, 11),
        ("transposed", [3, 3, 5, 20], 20, 5),
        ("dense", [13, 10], 13, 10),
    ):
        assert table.milliseconds(kernels[name], shape) == pytest.approx(
            2 * reads**0.7 * makes**0.4, rel=1e-6
        )


def test_what_cannot_be_timed_alone_costs_what_its_macs_cost_elsewhere(keras):
    table, kernels = priced(keras, *net(keras), Lawful())
    timed = [name for name in kernels if name != "grouped"]
    macs = {name: k.positions * np.prod(k.variable.shape) for name, k in kernels.items()}
    each = [table.milliseconds(kernels[name], list(kernels[name].variable.shape)) for name in timed]
    per_mac = sum(each) / sum(macs[name] for name in timed)
    got = table.milliseconds(kernels["grouped"], list(kernels["grouped"].variable.shape))
    assert got == pytest.approx(per_mac * macs["grouped"])
    assert table.milliseconds(kernels["grouped"], [1, 1, 3, 24]) == pytest.approx(got / 2)


def test_layers_that_are_alike_are_timed_once(keras):
    device = Lawful()
    x = keras.Input((8, 8, 16))
    y = x
    for number in range(3):
        y = keras.layers.Conv2D(16, 3, padding="same", name=f"same_{number}")(y)
    priced(keras, x, keras.layers.Conv2D(16, 3, padding="same", activation="relu")(y), device)
    assert len(device.measured) == 2 and len({*map(tuple, device.measured)}) == 2
    assert all(len(keys) == 5 for keys in device.measured)
    priced(keras, x, y, device)
    assert len(device.measured) == 2


def test_a_model_of_which_nothing_can_be_timed_is_priced_by_macs(keras):
    device = Lawful()
    x = keras.Input((6, 3))
    table, kernels = priced(keras, x, keras.layers.SimpleRNN(5)(x), device)
    assert device.measured == []
    for kernel in kernels.values():
        shape = list(kernel.variable.shape)
        assert table.milliseconds(kernel, shape) == kernel.positions * np.prod(shape)


def test_on_this_machine_layers_are_timed_for_real(keras):
    x = keras.Input((16, 16, 32))
    table, kernels = priced(
        keras, x, keras.layers.Conv2D(64, 3, name="conv")(x), spp.Device(runs=5)
    )
    small, large = (
        table.milliseconds(kernels["conv"], [3, 3, *size]) for size in ((8, 16), (32, 64))
    )
    assert 0 < small < float("inf") and 0 < large < float(
        "inf"
    )  # a loaded machine may say anything
