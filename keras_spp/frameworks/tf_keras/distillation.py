"""A model whose training also follows another model's outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tf_keras as keras

from keras_spp.frameworks.distillation import Distances, Loss
from keras_spp.frameworks.tensorflow import arrays
from keras_spp.frameworks.tf_keras.private import structures
from keras_spp.frameworks.tf_keras.softmax import ends_in_softmax

_DISTANCES = Distances(
    arrays, tf.math.log, tf.nn.log_softmax, tf.stop_gradient, tf.nest.flatten, ends_in_softmax
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

    def distance(x: Any, outputs: Any) -> tf.Tensor:
        terms = distances(teacher(x, training=False), outputs)
        # Gradients of all replicas are added; Keras divides its own losses in the same way.
        return weight * tf.add_n(terms) / tf.distribute.get_strategy().num_replicas_in_sync

    return Distilled(*structures(model), distance)


class Distilled(keras.Model):
    """A functional model with another training step."""

    def __init__(self, inputs: Any, outputs: Any, distance: Callable[[Any, Any], Any]) -> None:
        super().__init__(inputs=inputs, outputs=outputs)
        # Not the teacher: Keras would make a model in an attribute a part of this one.
        self.distance = distance

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Saves the plain model of the same layers: this class needs a teacher to be made."""
        plain = keras.Model(*structures(self), name=self.name)
        plain.save(*args, **kwargs)

    def train_step(self, data: Any) -> dict[str, Any]:
        """Makes the step of Keras, with one more term in the loss."""
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            outputs = self(x, training=True)
            own = self.compute_loss(x, y, outputs, weight)
            self._validate_target_and_loss(y, own)
            loss = tf.cast(own, tf.float32) + self.distance(x, outputs)
        self.optimizer.minimize(loss, self.trainable_variables, tape=tape)
        return self.compute_metrics(x, y, outputs, weight)
