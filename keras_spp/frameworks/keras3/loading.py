"""Saved Keras 3 models: loading them without running code that came with them, and saving them.

Keras 3 checks a file itself as it reads it: its safe mode refuses lambdas, takes objects from Keras
and its own packages or from those that are registered, and imports nothing else; and it refuses
archives and arrays that unpack to far more than they take.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import keras

from keras_spp.util.messages import layer_cause


def load_model(
    path: str | os.PathLike[str],
    *,
    compile: bool = True,
    allow_code: bool = False,
    modules: Sequence[str] = (),
) -> keras.Model:
    """Loads a saved model, without running code of its file.

    Args:
        path: A .keras or .h5 file.
        compile: Whether to restore the loss and the optimizer with its state too.
        allow_code: Whether code in the file may run, such as that of Lambda layers.
        modules: Modules that were imported for it, whose registered classes Keras finds by itself.

    Returns:
        The model.

    Raises:
        ValueError: If it holds code, names objects that are not registered, or is not a whole
            model.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "dense.keras")
        >>> save_model(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]), path)
        >>> load_model(path).count_params()
        8
    """
    name = os.fspath(path)
    try:
        loaded = keras.saving.load_model(name, compile=compile, safe_mode=not allow_code)
    except Exception as error:  # damaged files end in any kind of exception
        remedy = "take an earlier one or write it anew, and import the modules of its custom "
        remedy += "layers, which must be registered, first (keras-spp: --import)"
        if not allow_code and "safe_mode" in str(error):
            remedy = "load it with --allow-code, or allow_code=True, if you trust where it comes"
            remedy += " from"
        problem = layer_cause(error).partition(". ")[0].rstrip(".")
        raise ValueError(
            f"`path` is {name!r}, which is not a model that Keras 3 can load ({problem}): {remedy}."
        ) from error
    if not isinstance(loaded, keras.Model):
        raise ValueError(
            f"`path` is {name!r}, which is not a model that Keras 3 can load (it holds an object "
            f"of the class {type(loaded).__name__!r}): take an earlier one or write it anew."
        )
    return loaded


def save_model(model: keras.Model, path: Path) -> None:
    """Saves a model as .keras or .h5, by the suffix.

    Raises:
        OSError: If the file cannot be written.
    """
    model.save(path)
