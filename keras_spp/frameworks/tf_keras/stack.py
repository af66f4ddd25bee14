"""The installed TensorFlow libraries: a check of their versions, and the import of tfmot."""

import importlib
import importlib.metadata
import os
import sys

from packaging.specifiers import SpecifierSet

from keras_spp.version import STACK

_SWITCH = "TF_USE_LEGACY_KERAS"


def check() -> None:
    """Raises ImportError if the TensorFlow stack does not fit, before any of it is imported.

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
    """Imports tfmot without its side effect that `tf.keras` becomes tf_keras.

    tfmot sets the variable that `tf.keras` follows, and then asks `tf.keras` for its version. So
    `tf.keras` is asked first, when the variable still is the user's, and the variable is restored.
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


def _installed_version(name: str) -> str | None:
    """Returns the version of a distribution, or of another with its module (tensorflow-cpu)."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        module = name.replace("-", "_")
        for provider in importlib.metadata.packages_distributions().get(module, []):
            return importlib.metadata.version(provider)
    return None
