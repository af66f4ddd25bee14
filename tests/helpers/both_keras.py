"""What a test is written with that must hold for the models of either Keras.

The fixture `keras` (in conftest.py) runs a test with tf_keras and with Keras 3. A module that is
all about both says so once, `pytestmark = pytest.mark.usefixtures("keras")`, and takes `keras`, `L`
(its layers) and `ops` (functions of tensors) from here: those of the Keras that the running test
has, and without one those of tf_keras. When tests are collected none is running: what `parametrize`
is given, `later.ReLU(6.0)` say, is made within the test by `made`.
"""

import contextlib
import importlib
import importlib.util
import operator
import os

import numpy as np
import pytest

BACKEND = os.environ.get("KERAS_BACKEND", "tensorflow")
HAS_TENSORFLOW = importlib.util.find_spec("tf_keras") is not None
# tf_keras has no other backend: its tests would say there what they say on TensorFlow.
BOTH = ["tf_keras", "keras"] if HAS_TENSORFLOW and BACKEND == "tensorflow" else ["keras"]
IDS = {"tf_keras": "tf_keras", "keras": "keras3"}
TF_KERAS = pytest.mark.tf_keras  # for what it alone has, or what differs as documented

# What has another name in TensorFlow than in `keras.ops`.
TENSORFLOW = {
    "any": "reduce_any",
    "concatenate": "concat",
    "flip": "experimental.numpy.flip",
    "log": "math.log",
    "max": "reduce_max",
    "mean": "reduce_mean",
    "relu": "nn.relu",
    "sum": "reduce_sum",
}

_running: list[str] = []


@contextlib.contextmanager
def running(name):
    """Lets `keras`, `L` and `ops` be those of one Keras, with the same weights in every test."""
    module = importlib.import_module(name)
    module.backend.clear_session()
    module.utils.set_random_seed(0)
    _running.append(name)
    yield module
    _running.pop()
    module.backend.clear_session()


class _Keras:
    """The module of the running Keras."""

    def __getattr__(self, name):
        return getattr(importlib.import_module(_running[-1] if _running else BOTH[0]), name)


class _Layers:
    """Its layers."""

    def __getattr__(self, name):
        return getattr(keras.layers, name)


class _Functions:
    """Functions of its tensors by their names in `keras.ops`, for tf_keras those of TensorFlow."""

    def __getattr__(self, name):
        if hasattr(keras, "ops"):
            return getattr(keras.ops, name)
        import tensorflow as tf

        return operator.attrgetter(TENSORFLOW.get(name, name))(tf)


keras, L, ops = _Keras(), _Layers(), _Functions()


def array(value):
    """A tensor or a variable of the running Keras as an array."""
    if hasattr(keras, "ops"):
        return np.array(keras.ops.convert_to_numpy(value))
    return np.array(value.numpy() if hasattr(value, "numpy") else value)


class _Later:
    """Calls of layers' classes, noted down."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **options: _Note(name, args, options)


class _Note:
    """A layer to make, with others among its arguments perhaps."""

    def __init__(self, name, args, options):
        self.name, self.args, self.options = name, args, options

    def __repr__(self):
        return self.name

    def make(self):
        if not hasattr(L, self.name):
            pytest.skip(f"{keras.__name__} has no layer {self.name}")
        return getattr(L, self.name)(*made(self.args), **made(self.options))


later = _Later()


@contextlib.contextmanager
def skipped_where_keras_refuses(*messages):
    """Skips a test of what not every Keras takes."""
    try:
        yield
    except (AttributeError, ValueError) as error:
        if any(message in str(error) for message in messages):
            pytest.skip(f"this Keras: {error}")
        raise


def made(note):
    """The layer of a note, or what a list, tuple or dict of notes comes to; all else as it is."""
    if isinstance(note, _Note):
        return note.make()
    if isinstance(note, list | tuple):
        return type(note)(map(made, note))
    if isinstance(note, dict):
        return {key: made(value) for key, value in note.items()}
    return note
