"""Checks that the installed libraries, and the models passed in, are ones keras_spp works with."""

import importlib
import importlib.metadata
import os
import sys
from typing import Any

from packaging.specifiers import SpecifierSet

from keras_spp.version import STACK

_SWITCH = "TF_USE_LEGACY_KERAS"


def check() -> None:
    """Checks the installed TensorFlow stack by its metadata, before any of it is imported.

    Raises:
        ImportError: If a package of the stack is missing or outside the tested range.
    """
    wrong = []
    for name, bounds in STACK.items():
        version = _installed_version(name)
        if version is None:
            wrong.append((name, bounds, "which is not installed"))
        elif not SpecifierSet(bounds).contains(version, prereleases=True):
            wrong.append((name, bounds, f"but found {version}"))
    if wrong:
        needs = " and ".join(f"{name}{bounds} {problem}" for name, bounds, problem in wrong)
        fix = " ".join(f'"{name}{bounds}"' for name, bounds, _ in wrong)
        raise ImportError(f"keras_spp needs {needs}: run `pip install {fix}`.")


def import_tfmot() -> None:
    """Imports tfmot, which would make `tf.keras` mean tf_keras, and leaves that as the user has it.

    tfmot sets the variable that `tf.keras` follows, and then asks `tf.keras` for its version. So
    `tf.keras` is asked first, when the variable still is the user's, and the variable is put back.
    """
    if "tensorflow_model_optimization" in sys.modules:
        return
    import tensorflow as tf

    chosen = os.environ.get(_SWITCH)
    tf.keras.Model  # noqa: B018  (the first use decides which Keras it is)
    importlib.import_module("tensorflow_model_optimization")
    if chosen is None:
        del os.environ[_SWITCH]
    else:
        os.environ[_SWITCH] = chosen


def require_tf_keras_model(model: Any, argument: str = "model") -> None:
    """Checks that `model` is a tf_keras model whose graph of layers can be read.

    Args:
        model: What the user passed.
        argument: The name of the argument, for the message.

    Raises:
        TypeError: `model` is a Keras 3 model, a path, or no model at all.
        ValueError: `model` is a subclassed model or has not been built.
    """
    import tf_keras

    if isinstance(model, str | os.PathLike):
        path = os.fspath(model)
        raise TypeError(
            f"`{argument}` must be a tf_keras model but is the path {path!r}: "
            f"load it first with tf_keras.models.load_model({path!r})."
        )
    # By module, because Keras 3 need not be imported, and along the MRO for the user's subclasses.
    if any(cls.__module__.startswith("keras.src") for cls in type(model).__mro__):
        raise TypeError(
            f"`{argument}` must be a tf_keras model but is a Keras 3 {type(model).__name__}: "
            f"rebuild or load it with tf_keras, or set {_SWITCH}=1 before importing tensorflow if "
            "it was made with tf.keras."
        )
    if not isinstance(model, tf_keras.Model):
        kind = f"{type(model).__module__}.{type(model).__qualname__}"
        raise TypeError(
            f"`{argument}` must be a tf_keras model, Sequential or functional, but is a {kind}."
        )
    if isinstance(model, tf_keras.Sequential) and not model._is_graph_network:
        raise ValueError(
            f"`{argument}` is the Sequential model {model.name!r} without a known input shape: "
            "start it with tf_keras.layers.Input(shape) or call its build(input_shape) first."
        )
    if not is_graph(model):
        raise ValueError(
            f"`{argument}` is the subclassed model {model.name!r}, whose call() hides how its "
            "layers are connected: rebuild it with the functional API, "
            "tf_keras.Model(inputs, outputs)."
        )


def _installed_version(name: str) -> str | None:
    """The version of a distribution, or of the one that provides its module (tensorflow-cpu)."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        module = name.replace("-", "_")
        for provider in importlib.metadata.packages_distributions().get(module, []):
            return importlib.metadata.version(provider)
    return None


def is_graph(layer: Any) -> bool:
    """Whether a layer is a model whose graph of layers says what it computes."""
    return getattr(layer, "_is_graph_network", False) and not _overrides_call(layer)


def _overrides_call(model: Any) -> bool:
    """Whether a user's call() decides what is computed, rather than the graph of layers."""
    owner = next(cls for cls in type(model).__mro__ if "call" in vars(cls))
    return not owner.__module__.startswith("tf_keras.")
