"""A Keras of three layers and a framework that do not exist, for rules without either."""

import sys
import types

from keras_spp.core.call import Call
from keras_spp.core.channels import Reason
from keras_spp.core.rule import apply

KERAS = "keras.stand_in"


class Layer:
    """A layer that computes nothing."""

    activation = None
    weights: tuple = ()

    def __init__(self, **attributes):
        self.name = type(self).__name__.lower()
        vars(self).update(attributes)

    def call(self, x):
        return x


Layer.__module__ = KERAS


def install(monkeypatch):
    """Makes a Keras with three layers, which rules take for Keras."""
    home = types.ModuleType(KERAS)
    home.Layer = Layer
    for name in ("Conv2D", "Flatten", "Dense"):
        setattr(home, name, type(name, (Layer,), {"__module__": KERAS}))
    monkeypatch.setitem(sys.modules, KERAS, home)
    return home


class Framework:
    """Answers what rules ask, and remembers what was tried."""

    def __init__(self, answer=Reason.FUNCTION):
        self.answer, self.tried = answer, []

    def follow(self, functions, args, kwargs, operands):
        self.tried.append(functions)
        return self.answer(operands) if callable(self.answer) else self.answer

    def as_functions(self, layer):
        return [layer.call]

    def config(self, layer):
        return vars(layer)

    def weight_path(self, layer, variable):
        return next((name for name, value in vars(layer).items() if value is variable), None)

    def takes_sizes(self, layer):
        return False

    def asks_for_mask(self, layer):
        return False


def call(channels, layer, x, shape, framework=None):
    """The output of a layer's rule."""
    (y,) = apply(Call(framework or Framework(), channels, layer, [shape], ["float32"]), (x,), {})
    return y
