"""A Keras 3 model whose training also follows another model's outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from keras_spp.frameworks.keras3 import private
from keras_spp.frameworks.keras3.softmax import ends_in_softmax
from keras_spp.frameworks.keras3.variables import without_gradients

ops = keras.ops
Loss = Callable[[Any, Any], Any]


def distilled(
    model: keras.Model,
    teacher: keras.Model,
    weight: float,
    temperature: float,
    loss: Loss | None,
    from_logits: bool | None,
) -> keras.Model:
    """Returns a model of the same layers whose loss has one more term; see `spp.distill`.

    Args:
        model: The model.
        teacher: The model whose outputs it follows.
        weight: Of that term.
        temperature: By which logits are divided.
        loss: Of the teacher's outputs and the model's; None for the divergence of their softmax.
        from_logits: Whether outputs are logits; None to look at the layers that make them.
    """
    ends = zip(teacher.outputs, model.outputs, strict=True)
    losses = [loss or _divergence(*pair, temperature, from_logits) for pair in ends]

    def distance(x: Any, outputs: Any) -> Any:
        with without_gradients():
            wanted = keras.tree.flatten(teacher(x, training=False))
        pairs = zip(losses, wanted, keras.tree.flatten(outputs), strict=True)
        return weight * sum(ops.mean(term(ops.stop_gradient(a), b)) for term, a, b in pairs)

    return Distilled(*private.structures(model), distance)


def _divergence(teachers: Any, models: Any, temperature: float, from_logits: bool | None) -> Loss:
    """Returns the divergence of softened probabilities, from logits or, behind a softmax, those."""
    softmax = [
        ends_in_softmax(output) if from_logits is None else not from_logits
        for output in (teachers, models)
    ]

    def softened(x: Any, is_softmax: bool) -> Any:
        x = ops.cast(x, "float32")
        logits = ops.log(ops.maximum(x, 1e-7)) if is_softmax else x
        return ops.log_softmax(logits / temperature)

    def loss(wanted: Any, predicted: Any) -> Any:
        wanted, predicted = softened(wanted, softmax[0]), softened(predicted, softmax[1])
        return temperature**2 * ops.sum(ops.exp(wanted) * (wanted - predicted), -1)

    return loss


class Distilled(keras.Model):
    """A functional model with another loss in training."""

    def __init__(self, inputs: Any, outputs: Any, distance: Callable[[Any, Any], Any]) -> None:
        super().__init__(inputs=inputs, outputs=outputs)
        # Not the teacher: Keras would make a model in an attribute a part of this one.
        self.distance = distance

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Saves the plain model of the same layers: this class needs a teacher to be made."""
        keras.Model(*private.structures(self), name=self.name).save(*args, **kwargs)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Returns the loss of Keras, in training with one more term."""
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        return loss + self.distance(x, y_pred) if training else loss
