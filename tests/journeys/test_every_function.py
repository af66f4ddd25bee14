"""Every TensorFlow function that Keras takes on its tensors is followed exactly, or frozen."""

import inspect

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import keras_spp as spp
from tests.helpers.slow import slow_but
from tests.zoo.models import L, random_probabilities, randomize

SPACES = ("", "math", "nn", "image", "linalg", "signal", "bitwise", "strings", "sets", "audio",
          "quantization", "random", "ragged", "sparse", "nn.experimental", "compat.v1",
          "compat.v1.nn", "compat.v1.math", "compat.v1.image", "keras.backend")  # fmt: skip
# What runs Python, prints, asks for a loop, reads files, or whose arguments may end the process.
SKIPPED = (
    "py_func", "numpy_function", "print", "while_loop", "assert", "summary", "gfile", "load",
    "save", "read_file", "write_file", "set_", "clear_", "reset_", "initialize", "config",
)  # fmt: skip
PARTS = [(first, 40) for first in range(40)]  # the first, and the step to the next
QUICK = (0, 160)  # some of the first part
VECTOR = np.linspace(0.5, 2, 8).astype("float32")

FORMS = {
    "y": lambda f, y: f(y),
    "y, y": lambda f, y: f(y, 2.0 * y),
    "y, y, y": lambda f, y: f(y, y, y),
    "[y, y]": lambda f, y: f([y, y]),
    "[y, y], 1": lambda f, y: f([y, 2.0 * y], 1),
    "[y, y], -1": lambda f, y: f([y, 2.0 * y], -1),
    "[y, constant], -1": lambda f, y: f([y, np.ones((1, 8, 8, 2), "f")], -1),
    "y, 2.0": lambda f, y: f(y, 2.0),
    "2.0, y": lambda f, y: f(2.0, y),
    "y, 1": lambda f, y: f(y, 1),
    "y, -1": lambda f, y: f(y, -1),
    "y, vector": lambda f, y: f(y, VECTOR),
    "vector, y": lambda f, y: f(VECTOR, y),
    "y, list": lambda f, y: f(y, VECTOR.tolist()),
    "y, [1, 2]": lambda f, y: f(y, [1, 2]),
    "y, tensor": lambda f, y: f(y, tf.constant([1, 2])),
    "y, shape": lambda f, y: f(y, tf.shape(y)),
    "y, computed": lambda f, y: f(y, tf.shape(y)[1]),
    "constant, computed": lambda f, y: f(np.ones((1, 8, 8, 8), "f"), [tf.shape(y)[0], 1, 1, 1]),
    "y, [4, 4]": lambda f, y: f(y, [4, 4]),
    "y, [-1, 8, 8, 8]": lambda f, y: f(y, [-1, 8, 8, 8]),
    "y, paddings": lambda f, y: f(y, [[0, 0], [1, 1], [1, 1], [0, 0]]),
    "y, paddings of channels": lambda f, y: f(y, [[0, 0], [0, 0], [0, 0], [1, 2]]),
    "y, 3, 1, SAME": lambda f, y: f(y, 3, 1, "SAME"),
    "condition, y, y": lambda f, y: f(y > 0, y, 0.1 * y),
    "condition": lambda f, y: f(y > 0),
    "integers": lambda f, y: f(tf.cast(4.0 * y, tf.int32)),
    "nothing": lambda f, y: f(y[..., :0]),
    "axis=1": lambda f, y: f(y, axis=1),
    "axis=-1": lambda f, y: f(y, axis=-1),
    "axis=[1, 2]": lambda f, y: f(y, axis=[1, 2]),
    "by name": lambda f, y: f(**{next(iter(inspect.signature(f).parameters)): y}),
}


def modules():
    for space in SPACES:
        module = tf
        for part in filter(None, space.split(".")):
            module = getattr(module, part)
        yield space, module


def functions():
    """Each function once, by the first of its names."""
    found = {}
    for space, module in modules():
        for name in sorted(dir(module)):
            function = getattr(module, name, None)
            skipped = name.startswith("_") or any(part in name for part in SKIPPED)
            if callable(function) and not inspect.isclass(function) and not skipped:
                found.setdefault(id(function), (f"{space}.{name}".strip("."), function))
    return list(found.values())


def is_readable(y):
    return y.dtype.is_floating and (y.shape.rank or 0) > 1 and bool(y.shape[-1])


def net(form, function):
    """A convolution whose channels go through the function; None if it gives no Keras tensor."""
    x = keras.Input((8, 8, 3))
    found = FORMS[form](function, L.Conv2D(8, 3, padding="same", name="first")(x))
    outputs = [y for y in tf.nest.flatten(found) if keras.backend.is_keras_tensor(y)][:3]
    heads = [L.Dense(3)(y) if is_readable(y) else y for y in outputs]
    return keras.Model(x, heads) if heads else None


def outputs(model, x):
    return [np.asarray(y) for y in tf.nest.flatten(model(x, training=False))]


def close(first, second):
    if first.shape != second.shape:
        return False
    if first.dtype.kind != "f":  # a rounding may move a few numbers over a border
        return np.mean(first != second) < 0.02
    return np.abs(first - second).max(initial=0) <= 1e-4 * np.abs(first).max(initial=1e-6)


def check(model, where):
    analysis = {row.layer: row for row in spp.analyze(model)}  # never raises
    if analysis["first"].groups < 2:
        assert analysis["first"].reason, where
        return 0
    randomize(model)
    pruned = spp.prune(model, {"first": 0.5}, round_to=1)
    random_probabilities(pruned, settled=True)
    small = spp.shrink(pruned)
    assert spp.analyze(small).rows[0]["channels"] < 8, where
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    try:
        before, again = outputs(pruned, x), outputs(pruned, x)
    except Exception:  # the function itself does not take these numbers
        return 1
    by_chance = not all(map(close, before, again))
    finite = all(np.isfinite(y).all() for y in before if y.dtype.kind == "f")
    if finite and not by_chance:  # a NaN behind a mask of zeros is a NaN
        assert all(map(close, before, outputs(small, x))), where
    return 1


@pytest.mark.parametrize("part", slow_but([QUICK, *PARTS], [QUICK]), ids=str)
@pytest.mark.filterwarnings("ignore")
def test_every_function_in_every_form_is_followed_exactly_or_frozen(part):
    (first, each), accepted, followed = part, 0, 0
    for name, function in functions()[first::each]:
        for form in FORMS:
            if "split" in name and "paddings" in form:
                continue  # TensorFlow ends the process
            keras.backend.clear_session()
            try:
                model = net(form, function)
            except Exception:  # Keras or TensorFlow does not take it
                continue
            if model is not None:
                accepted += 1
                followed += check(model, (name, form))
    assert accepted > followed > 0
