"""Keras 3's two callbacks that write training to disk, made safe against damage and mix-ups."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from keras_spp.frameworks.checkpoints import not_restored
from keras_spp.frameworks.keras3 import private
from keras_spp.frameworks.keras3.variables import read
from keras_spp.util.files import atomic_path
from keras_spp.util.messages import first_line

# How Keras and h5py report files that are cut, damaged, or of another model.
_REPORTS = (ValueError, KeyError, OSError, RuntimeError, TypeError)
WEIGHTS, EPOCH = "latest.weights.h5", "training_metadata.json"


class BackupAndRestore(keras.callbacks.BackupAndRestore):
    """See `spp.BackupAndRestore`.

    Args:
        backup_dir: The folder.
        check: Called when something was restored; raises ValueError if it is of another model.
        **options: Those of Keras' own.
    """

    def __init__(self, backup_dir: str, check: Callable[[], None], **options: Any) -> None:
        if options.get("double_checkpoint"):
            raise ValueError(
                "`double_checkpoint` must be False: files are replaced by whole ones, so there is "
                "no need for another copy."
            )
        super().__init__(backup_dir, **options)
        self._check = check

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Restores what an earlier run has left."""
        folder = Path(self.backup_dir)
        path = folder / WEIGHTS
        if not path.exists():
            return
        optimizer = self.model.optimizer
        if optimizer is not None and not optimizer.built:
            optimizer.build(self.model.trainable_variables)
        try:
            self.model.load_weights(path)
            self._check()
            private.begin_with_epoch(self.model, self._epoch_of(folder))
        except _REPORTS as error:
            raise not_restored(self, path, first_line(error)) from error

    def _epoch_of(self, folder: Path) -> int:
        """Returns the epoch to begin with: what was written for these weights, not for others."""
        for name in (f"next_{EPOCH}", EPOCH):
            if (folder / name).exists():
                noted = json.loads((folder / name).read_text())
                if noted["step"] == self._step():
                    return noted["epoch"]
        raise ValueError("no file says in which epoch it was written")

    def _step(self) -> int | None:
        optimizer = self.model.optimizer
        return None if optimizer is None else int(read(optimizer.iterations))

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Lets the next `fit` begin with the epoch that it is told, as this one has begun."""
        private.begin_with_epoch(self.model, None)

    def on_train_end(self, logs: dict | None = None) -> None:
        """Removes the files, if that is wanted; the epoch counts no more though none has begun."""
        super().on_train_end(logs)
        private.begin_with_epoch(self.model, None)

    def _save_model(self) -> None:
        """Replaces the files by whole ones: the epoch's is there before the weights are."""
        folder = Path(self.backup_dir)
        folder.mkdir(parents=True, exist_ok=True)
        noted = {"epoch": self._current_epoch, "step": self._step()}
        with atomic_path(folder / f"next_{EPOCH}") as temporary:
            temporary.write_text(json.dumps(noted))
        with atomic_path(folder / WEIGHTS) as temporary:
            self.model.save_weights(temporary, overwrite=True)
        os.replace(folder / f"next_{EPOCH}", folder / EPOCH)


class ModelCheckpoint(keras.callbacks.ModelCheckpoint):
    """See `spp.ModelCheckpoint`."""

    @property
    def model(self) -> Any:
        """The model, which writes whole files only."""
        return _Whole(super().model)


class _Whole:
    """A model whose files replace others when they are whole."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def save(self, filepath: str, **options: Any) -> None:
        """Saves the model."""
        with atomic_path(filepath) as temporary:
            self._model.save(temporary, **options)

    def save_weights(self, filepath: str, **options: Any) -> None:
        """Saves its weights."""
        with atomic_path(filepath) as temporary:
            self._model.save_weights(temporary, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)
