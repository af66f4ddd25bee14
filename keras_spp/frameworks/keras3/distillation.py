"""A Keras 3 model whose training also follows another model's outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from keras_spp.frameworks.distillation import Distances, Loss
from keras_spp.frameworks.keras3 import arrays, private
from keras_spp.frameworks.keras3.softmax import ends_in_softmax
from keras_spp.frameworks.keras3.variables import without_gradients

_DISTANCES = Distances(
    arrays,
    keras.ops.log,
    keras.ops.log_softmax,
    keras.ops.stop_gradient,
    keras.tree.flatten,
    ends_in_softmax,
)


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
    distances = _DISTANCES.between(teacher, model, temperature, loss, from_logits)

    def distance(x: Any, outputs: Any) -> Any:
        with without_gradients():
            wanted = teacher(x, training=False)
        return weight * sum(distances(wanted, outputs))

    return Distilled(*private.structures(model), distance)


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
