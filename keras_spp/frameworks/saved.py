"""Saved models: which Keras a file is of."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import h5py


def is_keras_3(path: Path) -> bool:
    """Tells whether Keras 3 has saved a model, by the version that is in the file.

    Args:
        path: A file, or a folder, whatever is in it.

    Example:
        >>> is_keras_3(Path("none.keras"))
        False
    """
    try:
        version = _version(path)
    except Exception:  # neither Keras wrote it, or it is damaged
        return False
    return version.partition(".")[0].isdigit() and int(version.partition(".")[0]) >= 3


def _version(path: Path) -> str:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive, archive.open("metadata.json") as member:
            return str(json.loads(member.read(2**16))["keras_version"])
    with h5py.File(path) as file:
        return str(file.attrs["keras_version"])


def checked(path: Any) -> Path:
    """Returns the path of something that exists.

    Raises:
        FileNotFoundError: If it does not.
        TypeError: If it is no path.
        ValueError: If it is empty.
    """
    if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str):
        raise TypeError(
            f"`path` must name a saved model (str or os.PathLike of str) but is {path!r}."
        )
    if not os.fspath(path):
        raise ValueError("`path` must name a saved model but is ''.")
    if not os.path.exists(path):  # Path.exists raises for names that are too long
        raise FileNotFoundError(
            f"`path` must be a saved model but {os.fspath(path)!r} does not exist."
        )
    return Path(path)
