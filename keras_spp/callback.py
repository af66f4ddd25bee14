"""The callback that makes `fit` prune, and shows it."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_spp.pruner import Progress, Pruner
from keras_spp.wrapper import host


class _Gauge(keras.metrics.Metric):
    """A metric that shows a number as it was set; Keras would average a plain log entry."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name)
        self.value = self.add_weight(name="value", initializer="zeros")

    def update_state(self, value: float) -> None:
        self.value.assign(value)

    def result(self) -> tf.Tensor:
        return tf.convert_to_tensor(self.value)

    def reset_state(self) -> None:
        """An epoch's end changes nothing."""


class SPPCallback(keras.callbacks.Callback):
    """Prunes a model from `spp.prune` during `fit`, then goes on as fine-tuning.

    It does what tfmot's `UpdatePruningStep` does too (giving both is harmless). The progress
    line and the history get `macs_speedup` (dense MACs over remaining MACs) and
    `groups_decided` (share of groups whose fate is sealed).

    Args:
        log_dir: Folder for TensorBoard: scalars, and histograms of p for each set of groups;
            None for none.

    Raises:
        ValueError: When training begins, if the model is not pruned or no update would happen
            in the planned steps.
        RuntimeError: When training ends, if not one update has happened and groups remain.

    Warns:
        UserWarning: At the start if the planned steps cannot reach the target, at the end if
            they did not.

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

    def __init__(self, log_dir: str | os.PathLike | None = None) -> None:
        super().__init__()
        self.log_dir = None if log_dir is None else os.fspath(log_dir)
        self.pruner: Pruner
        self._writer: Any = None
        self._seen = -1
        self._unchecked = True
        self._planned = False

    def set_model(self, model: keras.Model) -> None:
        """Attaches to the model before its training step is traced."""
        super().set_model(model)
        self.pruner = Pruner(model)
        with model.distribute_strategy.scope():
            gauges = getattr(self.pruner.conductor, "gauges", None)
            # The traced training step holds on to its metrics: one pair for a model's life.
            self._gauges = gauges or [_Gauge("macs_speedup"), _Gauge("groups_decided")]
        vars(self.pruner.conductor)["gauges"] = self._gauges

    def _show(self, shown: bool) -> None:
        # Keras looks up metrics anew for training and for evaluation: only training shows ours,
        # so that `loss, accuracy = model.evaluate(...)` goes on to work.
        metrics = self.pruner.conductor._metrics
        metrics[:] = [metric for metric in metrics if metric not in self._gauges]
        if shown:
            metrics.extend(self._gauges)

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Starts tfmot's counters, opens the log."""
        for wrapper in self.pruner.wrappers:
            if int(host(wrapper.pruning_step)) < 0:
                wrapper.pruning_step.assign(0)
        if self.log_dir is not None:
            self._writer = tf.summary.create_file_writer(self.log_dir)
        self._planned, self._unchecked = False, True
        self._show(True)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Plans with the steps that remain; a restored run begins at a later epoch."""
        if not self._planned:
            self._planned = True
            steps = self.params.get("steps")
            epochs = self.params.get("epochs", 1)
            self.pruner.plan(None if steps is None else steps * (epochs - epoch))
            self._report()

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Ends pruning when the target is reached early.

        At the beginning of a step, so that a checkpoint written by another callback at the end
        of the last one does not miss it: a restored run comes through here too.
        """
        if self._due_to_report() or self._unchecked:
            progress = self._report()
            self._unchecked = False
            if self.pruner.finish_if_reached(progress):
                self._report()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Shows an update that has happened in this step, or in this execution of steps."""
        if self._due_to_report():
            self._report()
            self._unchecked = True

    def _due_to_report(self) -> bool:
        return int(host(self.pruner.conductor.updates_made)) != self._seen

    def on_test_begin(self, logs: dict | None = None) -> None:
        """Evaluation does not show pruning."""
        self._show(False)

    def on_test_end(self, logs: dict | None = None) -> None:
        """Back to training."""
        self._show(True)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Zeroes what is pruned, as tfmot does before models are saved."""
        for wrapper in self.pruner.wrappers:
            wrapper.pruning_obj.weight_mask_op()

    def on_train_end(self, logs: dict | None = None) -> None:
        """Says loudly when the target was not met."""
        self._show(False)
        progress = self._report()
        if self.pruner.finish_if_reached(progress):
            progress = self._report()
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        if progress.finished:
            return
        needed = self.pruner.updates_needed()
        message = (
            f"{progress.pruned} of {progress.goal} groups are pruned (MACs speedup "
            f"{progress.macs_speedup:.2f}) after {progress.step} steps and {progress.updates} "
            f"updates; about {'too many to say' if needed is None else needed} more updates are "
            f"needed. Train on, or choose a smaller frequency or a larger A."
        )
        if progress.updates == 0:
            raise RuntimeError(f"SPP pruned nothing: {message}")
        warnings.warn(f"SPP has not met its target: {message}", stacklevel=2)

    def _report(self) -> Progress:
        progress = self.pruner.progress()
        self._seen = progress.updates
        values = [progress.macs_speedup, progress.decided]
        for gauge, value in zip(self._gauges, values, strict=True):
            gauge.update_state(value)
        if self._writer is not None:
            self._write(progress)
        return progress

    def _write(self, progress: Progress) -> None:
        p = self.pruner.probabilities().numpy()
        sets = np.split(p, np.cumsum(np.bincount(self.pruner.sets.of_group))[:-1])
        with self._writer.as_default(step=progress.step):
            tf.summary.scalar("spp/macs_speedup", progress.macs_speedup)
            tf.summary.scalar("spp/groups_decided", progress.decided)
            tf.summary.scalar("spp/mean_p", p.mean())
            for name, values in zip(self.pruner.names, sets, strict=True):
                tf.summary.histogram(f"spp/p/{name}", values)
        self._writer.flush()
