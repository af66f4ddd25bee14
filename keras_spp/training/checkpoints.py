"""Keras' two callbacks that write training to disk, made safe against damage and mix-ups."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import tensorflow as tf

from keras_spp import frameworks
from keras_spp.training.fingerprint import check_identity
from keras_spp.util.files import atomic_path
from keras_spp.util.messages import first_line

_framework = frameworks.default()
_BackupAndRestore: Any = _framework.callbacks.BackupAndRestore
_ModelCheckpoint: Any = _framework.callbacks.ModelCheckpoint

# How TensorFlow reports checkpoints that are cut, damaged, or of another model.
_REPORTS = (tf.errors.OpError, ValueError, IndexError, AssertionError, OSError)


class BackupAndRestore(_BackupAndRestore):
    """`keras.callbacks.BackupAndRestore` that refuses a damaged checkpoint or a foreign one.

    Keras takes from a checkpoint what fits, and leaves the rest as it is; and where none can be
    read it starts anew and overwrites what is there. With `steps_per_execution` it repeats steps
    after a restart in the middle of an epoch; this one does not.

    Args:
        backup_dir: Folder for the checkpoint, of one training run only.
        **options: Those of `keras.callbacks.BackupAndRestore`: `save_freq="epoch"` or a number
            of batches, `delete_checkpoint=True`, `save_before_preemption=False`.

    Raises:
        ValueError: When training begins, if the folder holds a checkpoint that cannot be read, or
            one of another model, or of a model pruned with other arguments.

    Example:
        >>> import numpy as np, tempfile, tf_keras as keras, keras_spp as spp
        >>> model = keras.Sequential([
        ...     keras.Input((4,)), keras.layers.Dense(32), keras.layers.Dense(2)])
        >>> pruned = spp.prune(model, pruning_ratio=0.5, schedule=spp.SPPSchedule(A=0.5))
        >>> pruned.compile("sgd", "mse")
        >>> callbacks = [spp.SPPCallback(), spp.BackupAndRestore(tempfile.mkdtemp())]
        >>> x, y = np.ones((64, 4)), np.ones((64, 2))
        >>> _ = pruned.fit(x, y, batch_size=1, verbose=0, callbacks=callbacks)
    """

    def __init__(self, backup_dir: str | os.PathLike[str], **options: Any) -> None:
        super().__init__(os.fspath(backup_dir), **options)

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Restores what an earlier run has left."""
        latest = self._latest()
        try:
            super().on_train_begin(logs)
            manager = self._training_state.read_checkpoint_manager
            if latest is not None:
                status = manager.checkpoint.restore(manager.latest_checkpoint)
                status.assert_existing_objects_matched()
            graph = _framework.is_graph_network(self.model)
            if wrappers := _framework.wrappers(self.model) if graph else []:
                check_identity(wrappers)
        except _REPORTS as error:
            if latest is None:
                raise
            reason = first_line(error)
            if isinstance(error, AssertionError):  # which lists all objects of the model
                reason = "it does not hold all of the model's state"
            raise ValueError(
                f"`backup_dir` is {self.backup_dir!r}, whose checkpoint {latest!r} cannot be "
                f"restored into model {self.model.name!r} ({reason}): if it is damaged or of "
                f"another run, choose another folder or delete this one to start anew."
            ) from error

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
        _framework.note_batch(self._training_state, batch)
        super().on_train_batch_end(batch, logs)


class ModelCheckpoint(_ModelCheckpoint):
    """`keras.callbacks.ModelCheckpoint` that replaces a file only by a whole one.

    Keras empties the file that it is about to write, so that a run which is killed in that moment
    leaves neither the model nor the one before.

    Args:
        filepath: Ends in .keras or .h5; placeholders as for Keras.
        **options: Those of `keras.callbacks.ModelCheckpoint`.

    Raises:
        ValueError: If `filepath` ends otherwise: other formats consist of several files.

    Example:
        >>> callback = ModelCheckpoint("best.keras", monitor="loss", save_best_only=True)
    """

    def __init__(self, filepath: str | os.PathLike[str], **options: Any) -> None:
        name = os.fspath(filepath)
        if not name.endswith((".keras", ".h5")):
            raise ValueError(
                f"`filepath` must end in .keras or .h5, which are written as one file, but is "
                f"{name!r}."
            )
        super().__init__(name, **options)

    def _save_handler(self, filepath: str) -> None:
        with atomic_path(filepath) as temporary:
            super()._save_handler(str(temporary))
