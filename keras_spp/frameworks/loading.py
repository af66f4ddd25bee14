"""`spp.load_model`: a saved model of either Keras, without running code of its file."""

from __future__ import annotations

import os
from collections.abc import Sequence

from keras_spp import frameworks
from keras_spp.frameworks.interface import Model
from keras_spp.frameworks.saved import checked


def load_model(
    path: str | os.PathLike[str],
    *,
    compile: bool = True,
    allow_code: bool = False,
    modules: Sequence[str] = (),
) -> Model:
    """Loads a saved model of tf_keras or Keras 3, without running code of its file.

    The file says which Keras it is of. A file of tf_keras may unpack to 64 MiB, or to 100 times its
    size if that is more: archives, arrays, its configuration (each byte of which counts 24-fold, as
    Python needs for it) and the variables of the model, each for itself. More is refused before it
    is unpacked. One of Keras 3 is read in the safe mode of Keras, which has limits of its own.

    Args:
        path: A .keras or .h5 file, or the folder of a SavedModel (tf_keras).
        compile: Whether to restore the loss and the optimizer with its state too.
        allow_code: Whether code in the file may run, such as that of Lambda layers; and whether it
            may take any amount of memory.
        modules: Modules that were imported for it: what they define is not the file's code.

    Returns:
        The model. A pruned one goes on where it was saved.

    Raises:
        FileNotFoundError: If there is no such file.
        TypeError: If `path` is no path.
        ValueError: If it holds code, names objects that are not known to be harmless, unpacks to
            too much, or is not a whole model.

    Example:
        >>> import pathlib, tempfile, tf_keras as keras
        >>> path = pathlib.Path(tempfile.mkdtemp(), "dense.h5")
        >>> keras.Sequential([keras.layers.Dense(2, input_shape=(3,))]).save(path)
        >>> load_model(path).count_params()
        8
    """
    framework = frameworks.of_file(checked(path))
    return framework.load(path, compile=compile, allow_code=allow_code, modules=modules)
