"""Calls and rules in a framework that does not exist: what the core asks of one, and how little."""

import types
from collections import OrderedDict, namedtuple

import numpy as np
import pytest

from keras_spp.core.call import Followed, flatten, tensors_in
from keras_spp.core.channels import Argument, Channels, Reason, Tensor
from keras_spp.core.coupling import couple
from keras_spp.core.rule import find, rule
from keras_spp.rules import kernels, moves
from tests.helpers import stand_in
from tests.helpers.stand_in import Framework, Layer, call


@pytest.fixture
def keras(monkeypatch):
    return stand_in.install(monkeypatch)


@pytest.fixture
def channels():
    channels = Channels()
    channels.batch = None
    return channels


def image(channels, count):
    labels = channels.new(count).reshape(1, 1, 1, -1)
    return Tensor(labels, (None, 4, 4, count))


def test_a_network_is_labelled_without_any_framework(keras, channels):
    x = image(channels, 3)
    channels.freeze(x.labels, Reason.INPUT)
    conv = keras.Conv2D(
        kernel=np.zeros((3, 3, 3, 5)), bias=np.zeros(5), groups=1, rank=2, filters=5
    )
    dense = keras.Dense(kernel=np.zeros((80, 2)), bias=np.zeros(2), units=2)
    assert find(keras.Conv2D) is kernels.convolution and find(keras.Flatten) is moves.flatten
    y = call(channels, conv, x, (None, 4, 4, 5))
    y = call(channels, keras.Flatten(), y, (None, 80))
    y = call(channels, dense, y, (None, 2))
    channels.freeze(y.labels, Reason.OUTPUT)
    coupling = couple(channels)
    made, read = (channels.axes[id(conv.kernel), 3], channels.axes[id(dense.kernel), 0])
    assert coupling.prunable[coupling.of(made)].all() and len(set(coupling.of(made))) == 5
    np.testing.assert_array_equal(coupling.of(read), np.tile(coupling.of(made), 16))
    assert channels.kernels[id(conv.kernel)].positions == 16
    assert channels.edits[id(conv), "filters"].value(np.array([1, 1, 0, 0, 1], bool)) == 3
    assert channels.failures == {}


def test_a_rule_is_found_for_a_class_below_one_of_keras_but_not_for_a_namesake(keras):
    assert find(type("Mine", (keras.Dense,), {})) is kernels.dense
    assert find(type("Mine", (keras.Dense,), {"call": len})) is None
    assert find(type("Dense", (Layer,), {})) is None


def test_rules_can_be_given_to_layer_classes_only(keras):
    rule(type("Mine", (Layer,), {}))
    for item in ("Dense", keras.Dense(), object, type("Layer", (), {})):
        with pytest.raises(TypeError, match="rule: expected Keras layer classes, received "):
            rule(item)


def test_a_layer_without_weights_and_without_a_rule_is_tried_by_the_framework(channels):
    x = image(channels, 6)
    mine = type("Mine", (Layer,), {})()
    turned = (3, np.arange(6)[::-1])

    def answer(operands):
        assert operands == [x]
        return Followed([x], [turned], [(Argument(1), lambda keep: keep[::2])])

    framework = Framework(answer)
    y = call(channels, mine, x, x.shape, framework)
    assert framework.tried == [[mine.call]]
    np.testing.assert_array_equal(y.labels, x.labels[..., ::-1])
    assert channels.edits[id(mine), Argument(1)].value([1, 2, 3]) == [1, 3]
    refused = call(channels, mine, x, x.shape, Framework(Reason.MIXES))
    assert set(couple(channels).reasons.values()) == {(Reason.MIXES, "mine")}
    assert not set(refused.labels.ravel()) & set(x.labels.ravel())


def test_a_layer_with_weights_and_without_a_rule_is_not_tried(channels):
    x, framework = image(channels, 6), Framework()
    mine = type("Mine", (Layer,), {"weights": ("w",)})()
    call(channels, mine, x, x.shape, framework)
    assert framework.tried == []
    assert set(couple(channels).reasons.values()) == {(Reason.UNKNOWN, "mine")}


def test_structures_are_flattened_like_arguments_of_layers():
    pair = namedtuple("pair", "b a")
    structure = [1, ("text", b"raw"), OrderedDict(b=2, a=[3]), pair(4, 5), {}, None, {6}]
    assert flatten(structure) == [1, "text", b"raw", 3, 2, 4, 5, None, {6}]


def test_in_place_of_sizes_that_count_channels_stand_the_tensors_whose_sizes_they_are(channels):
    x = image(channels, 3)

    def size(counts):
        made_of = types.SimpleNamespace(origins=lambda: [x], counts_channels=lambda: counts)
        return Tensor(np.zeros(1, int), (), "int32", made_of)

    height, width = size(True), size(False)
    assert tensors_in({"a": [1, height]}, (width,)) == [x, width]
    assert height.origins() == [x] and x.origins() == [x] and not x.counts_channels()
