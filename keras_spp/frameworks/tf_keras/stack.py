"""The installed TensorFlow libraries: a check of their versions, and the import of tfmot."""

import importlib
import os
import sys

from keras_spp.frameworks import installed
from keras_spp.version import SINCE_PYTHON_3_12, STACK

_SWITCH = "TF_USE_LEGACY_KERAS"


def check() -> None:
    """Raises ImportError if the TensorFlow stack does not fit, before any of it is imported.

    Raises:
        ImportError: If a package of the stack is missing or too old, or tf_keras is not of
            TensorFlow's minor version.
    """
    installed.check(STACK)
    if sys.version_info >= (3, 12):
        installed.check(SINCE_PYTHON_3_12, " on Python 3.12 and later")
    tensorflow, tf_keras = (installed.version(name) for name in ("tensorflow", "tf_keras"))
    minor = _minor(tensorflow)
    if _minor(tf_keras) != minor:
        raise ImportError(
            f"keras_spp needs tf_keras of the minor version of TensorFlow but found tf_keras "
            f'{tf_keras} and tensorflow {tensorflow}: run `pip install "tf_keras=={minor}.*"`.'
        )


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


def _minor(version: str | None) -> str:
    return ".".join(str(version).split(".")[:2])
