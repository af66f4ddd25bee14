"""Saved models: which Keras a file is of."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

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
