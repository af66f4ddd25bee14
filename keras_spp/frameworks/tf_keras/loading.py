"""Saved models: loading them without running code that came with them, and saving them.

The safe mode of tf_keras refuses Python lambdas, in .keras files only. A model's configuration can
do more: name any module to import, any function of TensorFlow (`tf.io.write_file`,
`tf.load_op_library`) and the arguments to call it with while the model is put together. So the
configuration is read before tf_keras sees it, and everything that may do more than compute is
refused; so is a file that would fill the memory.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import tf_keras as keras

from keras_spp.frameworks.saved import checked, is_keras_3
from keras_spp.frameworks.tf_keras.private import SafeModeScope, json_utils
from keras_spp.frameworks.tf_keras.saved_graph import saved_model_configs
from keras_spp.frameworks.tf_keras.trust import Untrusted, candidates, check_config, quoted
from keras_spp.frameworks.tf_keras.unpacked import (
    TooLarge,
    bounded_variables,
    budget,
    check_unpacked,
)
from keras_spp.util.messages import first_line


def load_model(
    path: str | os.PathLike[str],
    *,
    compile: bool = True,
    allow_code: bool = False,
    modules: Sequence[str] = (),
) -> keras.Model:
    """Loads a saved model, without running code of its file; see `spp.load_model`.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "dense.h5")
        >>> keras.Sequential([keras.layers.Dense(2, input_shape=(3,))]).save(path)
        >>> load_model(path).count_params()
        8
    """
    path = checked(path)
    name = repr(os.fspath(path))
    try:
        if allow_code:
            return _model(keras.models.load_model(path, compile=compile, safe_mode=False))
        check_unpacked(path)
        if is_keras_3(path):
            raise _NoModel  # nothing here can check its configuration
        _check_configs(path, modules)
        # By itself tf_keras checks only .keras files for lambdas.
        with SafeModeScope(True), bounded_variables(budget(path)):
            return _model(keras.models.load_model(path, compile=compile))
    except (Untrusted, TooLarge) as error:
        does = "run code" if isinstance(error, Untrusted) else "fill the memory"
        raise ValueError(
            f"`path` is {name}, which would {does} ({error}): load it with --allow-code, or "
            "allow_code=True, if you trust where it comes from."
        ) from None
    except Exception as error:  # damaged files end in any kind of exception
        problem = first_line(error).partition(". ")[0]
        remedy = "take an earlier one or write it anew"
        if is_keras_3(path):
            problem, remedy = "it was saved by Keras 3", "rebuild it with tf_keras"
        elif not isinstance(error, OSError | _NoModel):
            remedy += ", and import the modules of its custom layers first (keras-spp: --import)"
        raise ValueError(
            f"`path` is {name}, which is not a model that tf_keras can load ({problem}): {remedy}."
        ) from error


def save_model(model: keras.Model, path: Path) -> None:
    """Saves a model as .keras or .h5, by the suffix.

    Raises:
        OSError: If the file cannot be written.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "dense.h5")
        >>> model = keras.Sequential([keras.layers.Dense(2, input_shape=(3,))])
        >>> save_model(model, path)
        >>> load_model(path).count_params()
        8
    """
    if path.suffix == ".h5":  # in memory first: HDF5 does not say when a disk is full
        with h5py.File(content := io.BytesIO(), "w") as file:
            model.save(file)
        path.write_bytes(content.getvalue())
    else:
        model.save(path)


class _NoModel(Exception):
    """A file holds something else than a model."""


def _model(loaded: Any) -> keras.Model:
    if not isinstance(loaded, keras.Model):
        raise _NoModel(f"it holds an object of the class {type(loaded).__name__!r}")
    return loaded


def _check_configs(path: Path, modules: Sequence[str]) -> None:
    """Checks all configurations that tf_keras might read: a file can have two formats at once."""
    if path.is_dir():
        for config in saved_model_configs(path):
            check_config(config, modules)
        return
    for model, *others in _configs(path):
        for config in (model, *others):
            check_config(config, modules)
        if not isinstance(model, dict):
            raise _NoModel(f"its configuration has the type {type(model).__name__}")
        kinds = candidates(model)
        is_model = any(isinstance(kind, type) and issubclass(kind, keras.Model) for kind in kinds)
        if kinds and not is_model:
            raise _NoModel(f"it describes an object of the class {quoted(model['class_name'])}")


def _configs(path: Path) -> Iterator[list[Any]]:
    """Yields the configurations in a file, by format: the model's and that of its training."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield [json.loads(archive.read("config.json"))]
    if h5py.is_hdf5(path):
        with h5py.File(path) as file:
            names = ("model_config", "training_config")
            yield [json_utils.decode(file.attrs[name]) for name in names if name in file.attrs]
