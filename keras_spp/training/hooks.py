"""The callback interface of both Keras, without either: which one is known when `fit` begins."""

from __future__ import annotations

from typing import Any

from keras_spp import frameworks
from keras_spp.frameworks.interface import Model


def _default(method: Any) -> Any:
    """Marks a method as one that does nothing, for which Keras 3 need not wait."""
    setattr(method, "_is_default", True)  # noqa: B010  (Keras has no public name for it)
    return method


class Hooks:
    """What `fit` expects of a callback: every method that Keras calls, doing nothing.

    Attributes:
        params: What `fit` says of itself: epochs, steps, verbose.
    """

    _supports_tf_logs = False  # tf_keras: logs are to be numbers
    _chief_worker_only = None  # tf_keras: all workers have it

    def __init__(self) -> None:
        self.params: dict[str, Any] = {}
        self._model: Model | None = None

    @property
    def model(self) -> Any:
        """The model that is trained, its variables up to date."""
        return None if self._model is None else frameworks.adapter(self._model).synced(self._model)

    def set_params(self, params: dict[str, Any]) -> None:
        """Takes what `fit` says of itself."""
        self.params = params

    def set_model(self, model: Model) -> None:
        """Takes the model."""
        self._model = model

    def _implements_train_batch_hooks(self) -> bool:
        return True

    def _implements_test_batch_hooks(self) -> bool:
        return False

    def _implements_predict_batch_hooks(self) -> bool:
        return False

    @_default
    def on_train_begin(self, logs: dict | None = None) -> None:
        """Called at the beginning of `fit`."""

    @_default
    def on_train_end(self, logs: dict | None = None) -> None:
        """Called at the end of `fit`."""

    @_default
    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Called at the beginning of an epoch."""

    @_default
    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Called at the end of an epoch, after validation."""

    @_default
    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Called before a training step, or an execution of several."""

    @_default
    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Called after a training step, or an execution of several."""

    @_default
    def on_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Not called: an old name."""

    @_default
    def on_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Not called: an old name."""

    @_default
    def on_test_begin(self, logs: dict | None = None) -> None:
        """Called at the beginning of `evaluate` and of validation."""

    @_default
    def on_test_end(self, logs: dict | None = None) -> None:
        """Called at the end of `evaluate` and of validation."""

    @_default
    def on_test_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Called before a batch is evaluated."""

    @_default
    def on_test_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Called after a batch was evaluated."""

    @_default
    def on_predict_begin(self, logs: dict | None = None) -> None:
        """Called at the beginning of `predict`."""

    @_default
    def on_predict_end(self, logs: dict | None = None) -> None:
        """Called at the end of `predict`."""

    @_default
    def on_predict_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Called before a batch of `predict`."""

    @_default
    def on_predict_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Called after a batch of `predict`."""
