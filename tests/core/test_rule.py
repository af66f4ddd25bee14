"""The registry of rules, and what becomes of one that fails."""

import numpy as np
import pytest

from keras_spp.core import rule as rules
from keras_spp.core.channels import Channels, Reason, Tensor
from keras_spp.core.coupling import couple
from tests.helpers import stand_in
from tests.helpers.stand_in import Layer, call


class Scale(Layer):
    """One weight per channel."""


@pytest.fixture(autouse=True)
def registry(monkeypatch):
    stand_in.install(monkeypatch)
    monkeypatch.setattr(rules, "_REGISTRY", dict(rules._REGISTRY))


def test_rules_are_found_along_the_mro_nearest_first():
    class Special(Scale):
        pass

    @rules.rule(Scale)
    def scale(call, x):
        return x.labels

    assert rules.find(Special) is scale

    @rules.rule(Special)
    def special(call, x):
        return x.labels

    assert rules.find(Special) is special
    assert rules.find(Scale) is scale


def test_only_layer_classes_can_have_rules():
    with pytest.raises(TypeError, match=r"rule: expected Keras layer classes, received 'Scale'"):
        rules.rule("Scale")


class Mixer(Layer):
    """A dense layer of one's own, with its matrix the other way round."""


def raises(call, x):
    call.reads(call.layer.matrix, 1, call.vector(x))
    call.writes(call.layer.matrix, 0)
    raise KeyError("units")


@pytest.mark.parametrize(
    "broken, error",
    [
        (raises, "KeyError: 'units'"),
        (
            lambda call, x: call.channels.new(3).reshape(1, 1, 1, 3),
            "ValueError: labels of shape (1, 1, 1, 3) for an output of shape",
        ),
        (
            lambda call, x: call.vector(x),
            "ValueError: labels of shape (8,) for an output of shape",
        ),
        (lambda call: None, "TypeError"),
        (lambda call, x: None, "AttributeError"),
    ],
)
def test_a_rule_that_fails_freezes_what_it_met_and_is_named_with_its_error(broken, error):
    rules.rule(Mixer)(broken)
    channels, layer = Channels(), Mixer(matrix=np.zeros((12, 8)))
    x = Tensor(channels.new(8).reshape(1, 1, 1, 8), (None, 6, 6, 8))
    y = call(channels, layer, x, (None, 6, 6, 12))
    assert channels.failures["mixer"].startswith(error)
    coupling = couple(channels)
    met = [x.labels, y.labels, *(axis.labels for axis in channels.axes.values())]
    for labels in met:
        of_labels = np.unique(coupling.of_label[np.ravel(labels)])
        assert {coupling.reasons[index] for index in of_labels} == {(Reason.FAILED, "mixer")}
