"""A model whose training also follows another model's outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tf_keras as keras

from keras_spp.frameworks.tf_keras.private import structures
from keras_spp.frameworks.tf_keras.softmax import ends_in_softmax

Loss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


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

    def distance(x: Any, outputs: Any) -> tf.Tensor:
        wanted = tf.nest.flatten(teacher(x, training=False))
        pairs = zip(losses, wanted, tf.nest.flatten(outputs), strict=True)
        terms = [tf.reduce_mean(term(tf.stop_gradient(a), b)) for term, a, b in pairs]
        # Gradients of all replicas are added; Keras divides its own losses in the same way.
        return weight * tf.add_n(terms) / tf.distribute.get_strategy().num_replicas_in_sync

    return Distilled(*structures(model), distance)


def _divergence(teachers: Any, models: Any, temperature: float, from_logits: bool | None) -> Loss:
    """Returns the divergence of softened probabilities, from logits or, behind a softmax, those."""
    softmax = [
        ends_in_softmax(output) if from_logits is None else not from_logits
        for output in (teachers, models)
    ]

    def softened(x: tf.Tensor, is_softmax: bool) -> tf.Tensor:
        x = tf.cast(x, tf.float32)
        logits = tf.math.log(tf.maximum(x, 1e-7)) if is_softmax else x
        return tf.nn.log_softmax(logits / temperature)

    def loss(wanted: tf.Tensor, predicted: tf.Tensor) -> tf.Tensor:
        wanted, predicted = softened(wanted, softmax[0]), softened(predicted, softmax[1])
        return temperature**2 * tf.reduce_sum(tf.exp(wanted) * (wanted - predicted), -1)

    return loss


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
