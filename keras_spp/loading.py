"""Loading a saved model, with one sentence for what cannot be loaded."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import tf_keras as keras
from tf_keras.src.saving.serialization_lib import SafeModeScope


def load_model(path: str | os.PathLike[str], *, compile: bool = True) -> keras.Model:
    """`keras.models.load_model` that names a file which is damaged or no tf_keras model.

    Args:
        path: A .keras or .h5 file, or the folder of a SavedModel; code in it is never run.
        compile: Whether to restore the loss and the optimizer with its state too.

    Returns:
        The model. A pruned one goes on where it was saved.

    Raises:
        FileNotFoundError: If nothing is there.
        ValueError: If it cannot be loaded.

    Example:
        >>> load_model("none.keras")
        Traceback (most recent call last):
        FileNotFoundError: `path` must be a saved model but 'none.keras' does not exist.
    """
    name, path = repr(os.fspath(path)), Path(path)
    if not path.exists():
        raise FileNotFoundError(f"`path` must be a saved model but {name} does not exist.")
    try:
        # Of itself tf_keras checks only .keras files for code that would run on loading.
        with SafeModeScope(True):
            return keras.models.load_model(path, compile=compile)
    except Exception as error:  # damaged files end in any kind of exception
        problem = str(error).strip().partition("\n")[0].partition(". ")[0].rstrip(".")
        remedy = "take an earlier one or write it anew"
        if _is_keras_3(path):
            problem, remedy = "it was saved by Keras 3", "rebuild it with tf_keras"
        elif not isinstance(error, OSError):
            remedy += ", and import the modules of its custom layers first (keras-spp: --import)"
        raise ValueError(
            f"`path` is {name}, which is not a model that tf_keras can load ({problem}): {remedy}."
        ) from error


def _is_keras_3(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            version = json.loads(archive.read("metadata.json"))["keras_version"]
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return False
    return not str(version).startswith("2.")
