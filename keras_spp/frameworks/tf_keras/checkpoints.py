"""tf_keras' two callbacks that write training to disk, made safe against damage and mix-ups."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf
import tf_keras as keras

from keras_spp.frameworks.checkpoints import not_restored
from keras_spp.frameworks.tf_keras.private import note_batch
from keras_spp.util.files import atomic_path
from keras_spp.util.messages import first_line

# How TensorFlow reports checkpoints that are cut, damaged, or of another model.
_REPORTS = (tf.errors.OpError, ValueError, IndexError, AssertionError, OSError)


class BackupAndRestore(keras.callbacks.BackupAndRestore):
    """See `spp.BackupAndRestore`.

    Args:
        backup_dir: The folder.
        check: Called when something was restored; raises ValueError if it is of another model.
        **options: Those of Keras' own.
    """

    def __init__(self, backup_dir: str, check: Callable[[], None], **options: Any) -> None:
        super().__init__(backup_dir, **options)
        self._check = check

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Restores what an earlier run has left."""
        latest = self._latest()
        try:
            super().on_train_begin(logs)
            manager = self._training_state.read_checkpoint_manager
            if latest is not None:
                status = manager.checkpoint.restore(manager.latest_checkpoint)
                status.assert_existing_objects_matched()
            self._check()
        except _REPORTS as error:
            if latest is None:
                raise
            reason = first_line(error)
            if isinstance(error, AssertionError):  # which lists all objects of the model
                reason = "it does not hold all of the model's state"
            raise not_restored(self, latest, reason) from error

    def _latest(self) -> str | None:
        """Returns where the last checkpoint is, if there is one."""
        folder = Path(self.backup_dir, "chief")
        try:
            state = tf.train.get_checkpoint_state(str(folder))
        except ValueError:
            state = None
        if state is not None:
            return str(state.model_checkpoint_path)
        # A run that is killed after its first checkpoint, before this is named, leaves no more.
        others = {path.stem for path in folder.glob("ckpt-*.index")} - {"ckpt-1"}
        if others or (folder / "checkpoint").exists():
            raise ValueError(
                f"`backup_dir` is {self.backup_dir!r}, which holds checkpoints but no file "
                f"{str(folder / 'checkpoint')!r} that can be read and names the last: restore "
                f"that file, or delete the folder to start anew."
            )
        return None

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Writes a checkpoint if one is due."""
        # Keras has noted the first step of an execution, not the last.
        note_batch(self._training_state, batch)
        super().on_train_batch_end(batch, logs)


class ModelCheckpoint(keras.callbacks.ModelCheckpoint):
    """See `spp.ModelCheckpoint`."""

    def _save_handler(self, filepath: str) -> None:
        with atomic_path(filepath) as temporary:
            super()._save_handler(str(temporary))
