"""Keras' two callbacks that write training to disk, made safe against damage and mix-ups."""

from __future__ import annotations

import os
from typing import Any

from keras_spp import frameworks
from keras_spp.frameworks.interface import Adapter, Model
from keras_spp.training.fingerprint import check_identity
from keras_spp.training.hooks import Hooks


class _OfTheModelsKeras(Hooks):
    """Does what a callback of the model's own Keras does."""

    _inner: Any = None
    _framework: Any = None  # that the callback is of

    def _make(self, framework: Adapter) -> Any:
        """Returns that callback."""
        raise NotImplementedError

    def set_model(self, model: Model) -> None:
        """Makes the callback, once for all calls of `fit`: it may remember what was best so far."""
        super().set_model(model)
        framework = frameworks.adapter(model)
        if framework is not self._framework:
            self._inner, self._framework = self._make(framework), framework
        self._inner.set_params(self.params)
        self._inner.set_model(model)

    def set_params(self, params: dict[str, Any]) -> None:
        """Hands on what `fit` says of itself."""
        super().set_params(params)
        if self._inner is not None:
            self._inner.set_params(params)

    def __getattr__(self, name: str) -> Any:
        """Returns what the callback has beside: the `best` value of ModelCheckpoint, say."""
        if self._inner is None:
            raise AttributeError(f"{type(self).__name__} has no {name!r} before `fit`.")
        return getattr(self._inner, name)

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Hands on."""
        self._inner.on_train_begin(logs)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Hands on."""
        self._inner.on_epoch_begin(epoch, logs)

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Hands on."""
        self._inner.on_train_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Hands on."""
        self._inner.on_train_batch_end(batch, logs)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Hands on."""
        self._inner.on_epoch_end(epoch, logs)

    def on_train_end(self, logs: dict | None = None) -> None:
        """Hands on."""
        self._inner.on_train_end(logs)


class BackupAndRestore(_OfTheModelsKeras):
    """`keras.callbacks.BackupAndRestore` that refuses a damaged checkpoint or a foreign one.

    Keras takes from a checkpoint what fits, and leaves the rest as it is; and where none can be
    read it starts anew and overwrites what is there. With `steps_per_execution` tf_keras repeats
    steps after a restart in the middle of an epoch; this one does not. Keras 3 begins such an epoch
    anew, whatever the frequency: there only `save_freq="epoch"` goes on as if nothing had been.

    Args:
        backup_dir: Folder for the checkpoint, of one training run only.
        **options: Those of `keras.callbacks.BackupAndRestore`: `save_freq="epoch"` or a number
            of batches, `delete_checkpoint=True`; with tf_keras `save_before_preemption=False`.

    Raises:
        TypeError: When training begins, if Keras has no such option.
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
        super().__init__()
        self.backup_dir = os.fspath(backup_dir)
        self._options = options

    def _make(self, framework: Adapter) -> Any:
        def check() -> None:
            model = self._model
            if framework.is_graph_network(model) and (wrappers := framework.wrappers(model)):
                check_identity(framework, wrappers)

        return framework.checkpoints.BackupAndRestore(self.backup_dir, check, **self._options)


class ModelCheckpoint(_OfTheModelsKeras):
    """`keras.callbacks.ModelCheckpoint` that replaces a file only by a whole one.

    Keras empties the file that it is about to write, so that a run which is killed in that moment
    leaves neither the model nor the one before.

    Args:
        filepath: Ends in .keras or .h5; placeholders as for Keras.
        **options: Those of `keras.callbacks.ModelCheckpoint`.

    Raises:
        TypeError: When training begins, if Keras has no such option.
        ValueError: If `filepath` ends otherwise: other formats consist of several files.

    Example:
        >>> callback = ModelCheckpoint("best.keras", monitor="loss", save_best_only=True)
    """

    def __init__(self, filepath: str | os.PathLike[str], **options: Any) -> None:
        super().__init__()
        name = os.fspath(filepath)
        if not name.endswith((".keras", ".h5")):
            raise ValueError(
                f"`filepath` must end in .keras or .h5, which are written as one file, but is "
                f"{name!r}."
            )
        self.filepath, self._options = name, options

    def _make(self, framework: Adapter) -> Any:
        return framework.checkpoints.ModelCheckpoint(self.filepath, **self._options)
