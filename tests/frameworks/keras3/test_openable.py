"""Composite layers of Keras 3 are opened; layers of one's own have rules."""

import keras
import numpy as np
import pytest

import keras_spp as spp
from keras_spp import frameworks
from keras_spp.core import rule as rules
from keras_spp.frameworks import openable as composites
from tests.helpers.keras3 import assert_equal, check_exact
from tests.zoo.keras3_models import L, inputs_for, outputs, randomize


class Block(L.Layer):
    """A residual block that hides its layers, and has no config that tells its size."""

    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.wide = L.Conv2D(16, 3, padding="same", activation="relu", name="wide")
        self.norm = L.BatchNormalization(name="norm")
        self.narrow = L.Conv2D(filters, 1, name="narrow")

    def build(self, shape):
        if not self.wide.built:
            self.wide.build(shape)
        self.norm.build((*shape[:-1], 16))
        self.narrow.build((*shape[:-1], 16))

    def call(self, x, training=None):
        return x + self.narrow(self.norm(self.wide(x), training=training))

    def get_config(self):
        raise NotImplementedError


class Twice(L.Layer):
    """A composite of composites."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.block = Block(8, name="inner")

    def build(self, shape):
        self.block.build(shape)

    def call(self, x):
        return self.block(self.block(x))


@pytest.fixture
def opened_blocks(monkeypatch):
    monkeypatch.setattr(composites, "_OPENABLE", set())
    spp.openable(Block)
    spp.openable(Twice)


def net(*blocks):
    x = keras.Input((6, 6, 3))
    y = L.Conv2D(8, 3, padding="same", name="stem")(x)
    for block in blocks:
        y = block(y)
    return randomize(keras.Model(x, L.Dense(4)(L.Flatten()(y))))


def test_a_composite_that_nobody_declared_stays_whole():
    model = net(Block(8, name="one"))
    rows = {row.layer: row for row in spp.analyze(model)}
    assert rows["stem"].reason == "unknown layer (one)" and "wide" not in rows


def test_composites_that_share_a_layer_share_its_copy(opened_blocks):
    one, two = Block(8, name="one"), Block(8, name="two")
    two.wide = one.wide
    model = net(one, two)
    opened = frameworks.of(model).opened(model)
    x = inputs_for(model)
    assert_equal(outputs(model, x), outputs(opened, x))
    names = [layer.name for layer in frameworks.of(opened).layers(opened)]
    assert names.count("wide") == 1 and names.count("narrow") == 2
    check_exact(opened)


def test_declared_composites_are_opened_and_pruned_inside(opened_blocks):
    block = Block(8, name="shared")
    model = net(Block(8, name="one"), Twice(name="two"), block, block)
    x = inputs_for(model)
    before = outputs(model, x)
    opened = frameworks.of(model).opened(model)
    assert_equal(before, outputs(opened, x))
    rows = {row.layer: row for row in spp.analyze(model)}
    assert rows["stem"].groups == 8 and rows["wide"].groups == 16
    small, _ = check_exact(opened)
    assert small.get_layer("one").get_layer("wide").filters == 8
    assert small.get_layer("two").get_layer("inner").get_layer("wide").filters == 8
    compressed = spp.compress(model, np.repeat(x, 8, 0) + np.arange(24)[:, None, None, None],
                              pruning_ratio=0.5, round_to=1, verbose=0)  # fmt: skip
    assert compressed.get_layer("shared").get_layer("narrow").filters == 4
    assert_equal(before, outputs(model, x), 0)


def test_a_composite_that_is_called_on_maps_of_several_sizes_is_opened_once(opened_blocks):
    x = keras.Input((8, 8, 3))
    stem = L.Conv2D(8, 3, padding="same", name="stem")
    small, block = L.MaxPooling2D(), Block(8, name="shared")
    maps = [block(stem(x)), block(small(stem(x)))]
    ends = [L.Dense(2)(L.GlobalMaxPooling2D()(y)) for y in maps]
    opened = frameworks.of(model := randomize(keras.Model(x, ends))).opened(model)
    assert_equal(outputs(model, inputs_for(model)), outputs(opened, inputs_for(model)))
    made, _ = check_exact(opened)
    assert made.get_layer("shared").get_layer("wide").filters == 8
    assert spp.analyze(model).macs / spp.analyze(made).macs > 3


def test_a_composite_that_cannot_be_opened_is_told_in_one_sentence(opened_blocks):
    @spp.openable
    class Bad(L.Layer):
        def call(self, x, other):
            return x + other

    x = keras.Input((4,))
    model = keras.Model(x, L.Dense(2)(Bad(name="bad")(x, other=x)))
    with pytest.raises(ValueError, match=r"a layer 'bad' \(Bad\) that cannot be opened"):
        spp.analyze(model)


def test_a_layer_of_ones_own_has_the_rule_that_it_is_given(monkeypatch):
    monkeypatch.setattr(rules, "_REGISTRY", dict(rules._REGISTRY))

    @keras.saving.register_keras_serializable("tests")
    class Scale(L.Layer):
        def build(self, shape):
            self.w = self.add_weight(name="w", shape=shape[-1:])

        def call(self, x):
            return x * self.w

    @spp.rule(Scale)
    def scale(call, x):
        call.follows(call.layer.w, 0, call.vector(x))
        return x.labels

    small, _ = check_exact(net(Scale(name="scale")))
    assert small.get_layer("scale").w.shape == (4,)
