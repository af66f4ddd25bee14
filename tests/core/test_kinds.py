import sys
import types

import pytest

from keras_spp.core.kinds import is_a, is_subclass, own_name


def define(monkeypatch, module, *names, bases=(object,)):
    """Defines classes as a module of that name would."""
    home = types.ModuleType(module)
    monkeypatch.setitem(sys.modules, module, home)
    for name in names:
        setattr(home, name, type(name, bases, {"__module__": module}))
    return home


@pytest.mark.parametrize("module", ["keras.src.layers.stand_in", "tf_keras.src.layers.stand_in"])
def test_a_class_of_keras_is_known_by_its_name(monkeypatch, module):
    dense = define(monkeypatch, module, "Dense").Dense
    assert own_name(dense) == "Dense"
    assert is_a(dense(), "Conv2D", "Dense") and not is_a(dense(), "Conv2D")
    assert is_subclass(dense, "Dense")


@pytest.mark.parametrize(
    "module", ["keras_cv.layers", "tensorflow.python.keras.layers", "keras", "mine", "my.keras.x"]
)
def test_a_class_of_anyone_elses_has_no_such_name(monkeypatch, module):
    dense = define(monkeypatch, module, "Dense").Dense
    assert own_name(dense) == ("Dense" if module == "keras" else None)


@pytest.mark.parametrize("module", ["tf_keras.src.legacy_tf_layers.core", "keras.src.core_v1"])
def test_the_classes_of_tensorflow_1_are_not_those_of_the_same_name(monkeypatch, module):
    assert own_name(define(monkeypatch, module, "Dense").Dense) is None


def test_a_class_that_only_says_that_it_is_keras_own_is_not(monkeypatch):
    module = "keras.src.layers.stand_in"
    dense = define(monkeypatch, module, "Dense").Dense
    mine = type("Dense", (object,), {"__module__": module})  # as Keras revives saved classes
    assert own_name(mine) is None
    below = type("Dense", (dense,), {"__module__": "mine"})
    assert own_name(below) is None and is_a(below(), "Dense")
    monkeypatch.delitem(sys.modules, module)
    assert own_name(dense) is None


def test_functions_and_numbers_are_of_no_class_of_keras():
    assert not is_a(len, "Layer") and not is_a(3, "Layer") and not is_a(None, "Layer")
