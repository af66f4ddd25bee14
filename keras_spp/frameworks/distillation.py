"""How far a model's outputs are from a teacher's: the same formula for both Keras."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

Loss = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Distances:
    """What one framework computes with.

    Attributes:
        arrays: Its functions of `keras_spp.core.arrays`.
        log: Its logarithm.
        log_softmax: That of a softmax along the last axis.
        stop_gradient: Keeps a tensor out of the gradients.
        flatten: Lists what is in a structure.
        ends_in_softmax: Tells whether an output of a model holds probabilities.
    """

    arrays: ModuleType
    log: Callable[[Any], Any]
    log_softmax: Callable[[Any], Any]
    stop_gradient: Callable[[Any], Any]
    flatten: Callable[[Any], list[Any]]
    ends_in_softmax: Callable[[Any], bool]

    def between(
        self,
        teacher: Any,
        model: Any,
        temperature: float,
        loss: Loss | None,
        from_logits: bool | None,
    ) -> Callable[[Any, Any], list[Any]]:
        """Returns a function of both models' outputs: the mean loss of each; see `spp.distill`.

        Args:
            teacher: The model whose outputs are followed.
            model: The model that follows them.
            temperature: By which logits are divided.
            loss: Of the teacher's output and the model's; None for the divergence of their softmax.
            from_logits: Whether outputs are logits; None to look at the layers that make them.
        """
        ends = zip(teacher.outputs, model.outputs, strict=True)
        losses = [loss or self._divergence(*pair, temperature, from_logits) for pair in ends]

        def distances(wanted: Any, outputs: Any) -> list[Any]:
            pairs = zip(losses, self.flatten(wanted), self.flatten(outputs), strict=True)
            return [self.arrays.mean(term(self.stop_gradient(a), b)) for term, a, b in pairs]

        return distances

    def _divergence(
        self, teachers: Any, models: Any, temperature: float, from_logits: bool | None
    ) -> Loss:
        """Returns the divergence of softened probabilities, made of logits or of probabilities."""
        arrays = self.arrays
        softmax = [
            self.ends_in_softmax(output) if from_logits is None else not from_logits
            for output in (teachers, models)
        ]

        def softened(x: Any, is_softmax: bool) -> Any:
            x = arrays.cast(x, "float32")
            logits = self.log(arrays.maximum(x, 1e-7)) if is_softmax else x
            return self.log_softmax(logits / temperature)

        def loss(wanted: Any, predicted: Any) -> Any:
            wanted, predicted = softened(wanted, softmax[0]), softened(predicted, softmax[1])
            return temperature**2 * arrays.sum(arrays.exp(wanted) * (wanted - predicted), [-1])

        return loss
