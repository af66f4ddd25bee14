import pytest

import keras_spp as spp
from keras_spp.core import channels
from keras_spp.core import rule as rules
from keras_spp.rules import Reason, count, elementwise, merged, moved
from tests.helpers.both_keras import L, keras, ops
from tests.helpers.compared import relative_error
from tests.helpers.random_weights import random_probabilities, randomize

pytestmark = pytest.mark.usefixtures("keras")


@pytest.fixture(autouse=True)
def registry(monkeypatch):
    monkeypatch.setattr(rules, "_REGISTRY", dict(rules._REGISTRY))


@pytest.fixture
def Scale():
    @keras.saving.register_keras_serializable(package="tests")
    class Scale(L.Layer):
        """One weight per channel."""

        def build(self, shape):
            self.w = self.add_weight(name="w", shape=shape[-1:], initializer="ones")

        def call(self, x):
            return x * self.w

    return Scale


@pytest.fixture
def Mixer():
    @keras.saving.register_keras_serializable(package="tests")
    class Mixer(L.Layer):
        """A dense layer of one's own, with its matrix the other way round."""

        def __init__(self, size, **kwargs):
            super().__init__(**kwargs)
            self.size = size

        def build(self, shape):
            self.matrix = self.add_weight(name="matrix", shape=(self.size, shape[-1]))

        def call(self, x):
            return ops.tensordot(x, ops.transpose(self.matrix), 1)

        def get_config(self):
            return {**super().get_config(), "size": self.size}

    return Mixer


def net(layer):
    x = keras.Input((8, 8, 3))
    y = layer(L.Conv2D(8, 3, name="first")(x))
    return randomize(keras.Model(x, L.Dense(4)(y)))


def test_a_layer_without_a_rule_freezes_what_it_touches(Scale):
    rows = {row.layer: row for row in spp.analyze(net(Scale(name="scale")))}
    assert not rows["first"].prunable
    assert rows["first"].reason == "unknown layer (scale)"


def test_a_rule_of_a_few_lines_lets_channels_through(Scale):
    @spp.rule(Scale)
    def scale(call, x):
        call.follows(call.layer.w, 0, call.vector(x))
        return x.labels

    pruned = spp.prune(net(Scale(name="scale")), {"first": 0.5}, round_to=1)
    random_probabilities(pruned)
    small = spp.shrink(pruned)
    assert small.get_layer("scale").w.shape == (4,)
    assert relative_error(pruned, small) <= 2e-5


def test_a_reader_of_ones_own_is_masked_and_resized(Mixer):
    @spp.rule(Mixer)
    def mixer(call, x):
        call.reads(call.layer.matrix, 1, call.vector(x))
        out = call.writes(call.layer.matrix, 0)
        call.resize("size", [out], count)
        call.costs(call.layer.matrix, call.shapes[0][1:-1])
        return call.place(out)

    model = net(Mixer(12, name="mixer"))
    assert {r.layer: r.macs for r in spp.analyze(model)}["mixer"] == 6 * 6 * 8 * 12
    pruned = spp.prune(model, {"first": 0.5, "mixer": 0.25}, round_to=1)
    random_probabilities(pruned)
    small = spp.shrink(pruned)
    assert small.get_layer("mixer").matrix.shape == (9, 4)
    assert relative_error(pruned, small) <= 2e-5


def test_a_size_that_a_subclass_does_not_have_in_its_config_stays():
    class Pointwise(L.Conv2D):
        """A convolution with a constructor of its own."""

        def __init__(self, channels, **kwargs):
            super().__init__(channels, 1, **kwargs)

        def get_config(self):
            return {"name": self.name, "channels": self.filters}

    model = net(Pointwise(12, name="point"))
    rows = {row.layer: row for row in spp.analyze(model)}
    assert not rows["point"].prunable and rows["point"].reason == "unknown layer"
    pruned = spp.prune(model, pruning_ratio=0.5, round_to=1)
    random_probabilities(pruned)
    small = spp.shrink(pruned)
    assert small.get_layer("first").filters == 4 and small.get_layer("point").filters == 12
    assert relative_error(pruned, small) <= 2e-5


@pytest.mark.parametrize("granularity", ["channel", "column"])
def test_a_kernel_out_of_reach_freezes_what_it_reads(granularity):
    class Listed(L.Layer):
        """Keeps its kernel where no mask can be put on it."""

        def build(self, shape):
            self.kernels = [self.add_weight(name="kernel", shape=(1, 1, shape[-1], 6))]

        def call(self, x):
            return ops.tensordot(x, self.kernels[0][0, 0], 1)

    @spp.rule(Listed)
    def listed(call, x):
        call.reads(call.layer.kernels[0], 2, call.vector(x))
        out = call.writes(call.layer.kernels[0], 3)
        call.freeze(out, Reason.UNKNOWN)
        return call.place(out)

    x = keras.Input((8, 8, 3))
    y = Listed(name="listed")(L.Conv2D(8, 3, name="second")(L.Conv2D(8, 3, name="first")(x)))
    model = randomize(keras.Model(x, L.Dense(3)(y)))
    rows = {row.layer: row for row in spp.analyze(model)}
    assert rows["first"].prunable and rows["second"].reason == "unknown layer (listed)"
    pruned = spp.prune(model, pruning_ratio=0.5, round_to=1, granularity=granularity)
    random_probabilities(pruned)
    assert relative_error(pruned, spp.shrink(pruned)) <= 2e-5


def test_a_rule_that_forgets_a_size_is_told(Mixer):
    @spp.rule(Mixer)
    def mixer(call, x):
        call.reads(call.layer.matrix, 1, call.vector(x))
        return call.place(call.writes(call.layer.matrix, 0))

    pruned = spp.prune(net(Mixer(12, name="mixer")), pruning_ratio=0.5, round_to=1)
    random_probabilities(pruned)
    with pytest.raises(ValueError, match=r"layer 'mixer' \(Mixer\) .*: its rule must resize"):
        spp.shrink(pruned)


def raises(call, x):
    call.reads(call.layer.matrix, 1, call.vector(x))
    call.writes(call.layer.matrix, 0)
    raise KeyError("units")


def wrong_size(call, x):
    return call.channels.new(3).reshape(1, 1, 1, 3)


def wrong_rank(call, x):
    return call.vector(x)


@pytest.mark.parametrize(
    "broken, error",
    [
        (raises, "KeyError: 'units'"),
        (wrong_size, "ValueError: labels of shape (1, 1, 1, 3) for an output of shape"),
        (wrong_rank, "ValueError: labels of shape (8,) for an output of shape"),
        (lambda call: None, "TypeError"),
        (lambda call, x: None, "AttributeError"),
    ],
)
def test_a_rule_that_fails_freezes_what_it_met_and_is_named_with_its_error(Mixer, broken, error):
    spp.rule(Mixer)(broken)
    model = net(lambda y: L.Conv2D(6, 1, name="behind")(Mixer(12, name="mixer")(y)))
    rows = {row.layer: row for row in spp.analyze(model)}
    assert rows["mixer"].reason.startswith(f"rule failed ({error}")
    assert rows["first"].reason.startswith(f"rule failed (mixer: {error}")
    assert not rows["first"].prunable and not rows["mixer"].prunable
    assert rows["behind"].groups == 6
    pruned = spp.prune(model, pruning_ratio=0.5, round_to=1)
    random_probabilities(pruned, settled=True)
    assert relative_error(pruned, spp.shrink(pruned)) <= 2e-5


def test_rules_that_are_there_can_be_used_as_they_are(Scale):
    class Share(L.Layer):
        def build(self, shapes):
            self.share = self.add_weight(name="share", shape=())

        def call(self, tensors):
            return self.share * tensors[0] + (1 - self.share) * tensors[1]

    class Turned(Scale):
        def call(self, x):
            return ops.flip(x, 1) * ops.sum(self.w) * 0.1

    spp.rule(Share)(merged)
    spp.rule(Turned)(lambda call, x: moved(call, x, lambda values: values[:, ::-1]))
    spp.rule(Scale)(elementwise)
    model = net(lambda y: Share()([y, L.Conv2D(8, 1, name="second")(y)]))
    assert [row.groups for row in spp.analyze(model)][:2] == [8, 8]
    assert spp.analyze(net(Turned()))[0].groups == 8
    assert Reason is channels.Reason
