"""Checks that the installed libraries, and the models passed in, are ones keras_spp works with."""

import importlib.metadata
import os
import sys
import warnings
from typing import Any

from packaging.specifiers import SpecifierSet

from keras_spp.version import STACK

_SWITCH = "TF_USE_LEGACY_KERAS"


def check_stack() -> None:
    """Checks the installed TensorFlow stack, and makes `tf.keras` mean tf_keras while it still can.

    Call it before TensorFlow is imported: versions are read from the installed metadata.

    tf_keras and tfmot work together whatever was imported before. What the order of imports does
    decide is which Keras `tf.keras` and `tensorflow.keras` are, hence which kind of model the user
    builds with them: that deserves a warning, not a refusal.

    Raises:
        ImportError: A package of the stack is missing or outside the tested range.
    """
    wrong = []
    for name, bounds in STACK.items():
        found = _installed_version(name)
        if found is None:
            wrong.append((name, bounds, "which is not installed"))
        elif not SpecifierSet(bounds).contains(found, prereleases=True):
            wrong.append((name, bounds, f"but found {found}"))
    if wrong:
        needs = " and ".join(f"{name}{bounds} {problem}" for name, bounds, problem in wrong)
        fix = " ".join(f'"{name}{bounds}"' for name, bounds, _ in wrong)
        raise ImportError(f"keras_spp needs {needs}: run `pip install {fix}`.")
    _select_tf_keras()


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


def _select_tf_keras() -> None:
    """Sets the variable `tf.keras` follows; warns when that is too late or not what was asked."""
    asked = os.environ.get(_SWITCH)
    if asked not in ("1", "true", "True"):  # the values TensorFlow understands
        # tfmot overwrites the variable on import anyway; here it is done early, and said.
        os.environ[_SWITCH] = "1"
    if _tf_keras_was_bypassed():
        _warn(
            "tf.keras is Keras 3 in this process, so keras_spp will reject models made with it: "
            f"make models with tf_keras, or set {_SWITCH}=1 (or import keras_spp) before "
            "importing tensorflow."
        )
    elif asked is not None and os.environ[_SWITCH] != asked:
        _warn(
            f"keras_spp works on tf_keras models and replaced {_SWITCH}={asked} by 1, which makes "
            f"tf.keras mean tf_keras: set {_SWITCH}=1 before importing tensorflow."
        )


def _tf_keras_was_bypassed() -> bool:
    """Whether `tf.keras` was resolved to Keras 3 earlier: it is resolved once, on first use."""
    if "tensorflow" not in sys.modules:
        return False
    import tensorflow as tf
    import tf_keras

    return tf.keras.Model is not tf_keras.Model


def is_graph(layer: Any) -> bool:
    """Whether a layer is a model whose graph of layers says what it computes."""
    return getattr(layer, "_is_graph_network", False) and not _overrides_call(layer)


def _overrides_call(model: Any) -> bool:
    """Whether a user's call() decides what is computed, rather than the graph of layers."""
    owner = next(cls for cls in type(model).__mro__ if "call" in vars(cls))
    return not owner.__module__.startswith("tf_keras.")


def _warn(message: str) -> None:
    # Frames: this one, _select_tf_keras, check_stack, keras_spp/__init__.py, the user's import.
    warnings.warn(message, UserWarning, stacklevel=5)
