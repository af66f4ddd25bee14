"""The callback that makes `fit` prune, and shows it."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np

from keras_spp.frameworks.interface import Model
from keras_spp.training.compensation import Compensating
from keras_spp.training.event_log import EventLog
from keras_spp.training.hooks import Hooks
from keras_spp.training.pruner import TOLD, Progress, Pruner
from keras_spp.util.checks import check_integer


class SPPCallback(Hooks):
    """Prunes a model from `spp.prune` during `fit`, then goes on as fine-tuning.

    It does what tfmot's `UpdatePruningStep` does too (giving both is harmless). The progress
    line and the history get `macs_speedup` (dense MACs over remaining MACs) and
    `groups_decided` (share of groups whose fate is sealed); callbacks listed after this one see
    them in their logs.

    Args:
        log_dir: Folder for TensorBoard: scalars, and histograms of p for each set of groups;
            None for none.
        original: The model that `spp.prune` was given: as soon as the last group is decided the
            weights that remain are solved for, as by `spp.compensate`, and training goes on from
            there. None: they are not.
        representative_data: Samples for that, as `spp.compensate` takes them. They are looked at
            when training begins.
        samples: How many of them to use, at most.

    Raises:
        TypeError: If only one of `original` and `representative_data` is given; when training
            begins, if they are no model and no data.
        ImportError: When training begins, if `log_dir` is given and TensorFlow is not installed.
        OSError: When training begins, if `log_dir` cannot be written.
        ValueError: When training begins, if the model is not pruned, no update would happen in
            the planned steps, there are two of these callbacks, `original` is another model or
            `representative_data` cannot be used.
        FloatingPointError: If weights or scores hold NaN or infinity when an update is due, with
            the layer and the step; nothing has been decided by them.
        RuntimeError: When training ends, if not one update has happened and groups remain.

    Warns:
        UserWarning: At the start if the planned steps cannot reach the target or layers to be
            pruned are frozen, at the end if it was not reached; when `log_dir` cannot be written
            any more, which ends the log but not the training.

    Example:
        >>> import numpy as np, tf_keras as keras, keras_spp as spp
        >>> model = keras.Sequential([
        ...     keras.Input((4,)), keras.layers.Dense(32), keras.layers.Dense(2)])
        >>> pruned = spp.prune(model, pruning_ratio=0.5, schedule=spp.SPPSchedule(A=0.5))
        >>> pruned.compile("sgd", "mse")
        >>> x, y = np.ones((64, 4)), np.ones((64, 2))
        >>> history = pruned.fit(x, y, batch_size=1, verbose=0, callbacks=[SPPCallback()])
        >>> history.history["groups_decided"]
        [1.0]
    """

    def __init__(
        self,
        log_dir: str | os.PathLike | None = None,
        *,
        original: Model | None = None,
        representative_data: Any = None,
        samples: int = 1024,
    ) -> None:
        super().__init__()
        self.log_dir = None if log_dir is None else os.fspath(log_dir)
        if (original is None) != (representative_data is None):
            missing = "original" if original is None else "representative_data"
            raise TypeError(
                f"`{missing}` must be given too: to compensate takes the model that spp.prune was "
                f"given, and samples."
            )
        check_integer("samples", samples, 1)
        self._original, self._data, self._samples = original, representative_data, int(samples)
        self._compensating: Compensating | None = None
        self.pruner: Pruner
        self._before = (0, 0)
        self._log: EventLog | None = None
        self._planned = self._begun = False
        # Updates of the probabilities that were looked at: for the target, and to be shown.
        self._checked = self._shown = -1
        self._logs: dict[str, float] = {}

    def set_model(self, model: Model) -> None:
        """Attaches to the model before its training step is traced."""
        super().set_model(model)
        self.pruner = Pruner(model)
        self._before = self._seen()
        # Every callback of a fit comes here before the first of them begins.
        self.pruner.conductor.show_by(self)
        self._begun = False

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Opens the log."""
        if self._begun or self.pruner.conductor.shown_by is not self:
            raise ValueError("`callbacks` must hold one SPPCallback but holds more: give one.")
        self._begun = True
        if self.log_dir is not None and self.pruner.framework.is_chief(self.model):
            self._log = EventLog(self.log_dir)  # other workers have the same to say
        self._planned, self._checked, self._shown = False, -1, -1
        if self._original is not None:
            self._compensating = Compensating(
                self.pruner, self.model, self._original, self._data, self._samples
            )

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Plans with the steps that remain; a restored run begins at a later epoch."""
        self._sync()
        if not self._planned:
            self._planned = True
            self._check_restored()
            steps = self.params.get("steps")
            epochs = self.params.get("epochs", 1)
            of_step = self.pruner.framework.optimizers.batches_per_step(self.pruner.optimizer)
            self.pruner.plan(None if steps is None else steps * (epochs - epoch) // of_step)
            self._report()
        self.pruner.conductor.show(self._logs)

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Ends pruning when the target is reached early, and compensates when it has ended.

        At the beginning of a step, so that a checkpoint written by another callback at the end
        of the last one does not miss it: a restored run comes through here too.
        """
        self._sync()
        self.pruner.conductor.show_no_more()
        if self.pruner.updates != self._checked:
            self._checked = self.pruner.updates
            if self.pruner.finish_if_reached():
                self._report()
            self._compensate()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Shows an update that has happened in this step, or in this execution of steps."""
        self._sync()
        if batch % TOLD == 0:
            self.pruner.tell()  # of a train_step that applies another optimizer, too
        else:
            self.pruner.faults.tell()
        if self.pruner.updates != self._shown:
            self._report()
        if logs is not None:
            logs.update(self._logs)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Zeroes what is pruned, as tfmot does before models are saved."""
        self._sync()
        self._zero_pruned()
        if logs is not None:
            logs.update(self._logs)

    def on_train_end(self, logs: dict | None = None) -> None:
        """Says loudly when the target was not met."""
        self._sync()
        self._begun = False
        if not self._planned:  # restored after the last step: no epoch has begun
            self._check_restored()
        self._zero_pruned()  # an optimizer with use_ema has just put averages in their place
        self.pruner.finish_if_reached()
        self._compensate()
        progress = self._report()
        if self._log is not None:
            self._log.close()
            self._log = None
        if progress.finished:
            return
        needed = self.pruner.updates_needed()
        message = (
            f"{progress.pruned} of {progress.goal} groups are pruned (MACs speedup "
            f"{progress.macs_speedup:.2f}) after {progress.step} steps and {progress.updates} "
            f"updates; {'an unknown number of' if needed is None else f'about {needed}'} more "
            f"updates are needed. Train on, choose a smaller frequency, or "
            f"{self.pruner.schedule.advice}."
        )
        if progress.updates == 0:
            raise RuntimeError(f"SPP pruned nothing: {message}")
        warnings.warn(f"SPP has not met its target: {message}", stacklevel=2)

    def _sync(self) -> None:
        """Has the model's variables hold what JAX keeps elsewhere while it trains."""
        self.pruner.framework.synced(self._model)

    def _seen(self) -> tuple[int, int]:
        """Reads the training step, by the optimizer, and the last in which the model pruned."""
        steps = int(self.pruner.clock()) if self.pruner.counts_steps() else 0
        return steps, int(self.pruner.framework.read(self.pruner.conductor.pruning_step))

    def _check_restored(self) -> None:
        """Refuses what another callback has restored if it was of a model without pruning.

        Keras' BackupAndRestore takes from a checkpoint what fits, and says nothing of the rest.
        """
        steps, last = self._seen()
        moved = steps != self._before[0] and last == self._before[1]
        if moved and steps - last not in (0, 1):
            raise ValueError(
                f"What was restored when `fit` began must be a checkpoint of this pruned model but "
                f"has {steps} training steps and nothing of its pruning: give BackupAndRestore "
                f"a folder of this model's own."
            )

    def _compensate(self) -> None:
        if self._compensating is not None:
            self._compensating.run_if_due()

    def _zero_pruned(self) -> None:
        for wrapper in self.pruner.wrappers:
            wrapper.zero_pruned()

    def _report(self) -> Progress:
        progress = self.pruner.progress()
        self._shown = progress.updates
        self._logs = {
            "macs_speedup": progress.macs_speedup,
            "groups_decided": progress.decided,
        }
        if self._log is not None:
            p = self.pruner.framework.read(self.pruner.probabilities())
            sets = np.split(p, np.cumsum(np.bincount(self.pruner.sets.of_group))[:-1])
            scalars = {**self._logs, "mean_p": p.mean()}
            self._log.write(progress.step, scalars, zip(self.pruner.names, sets, strict=True))
        return progress
