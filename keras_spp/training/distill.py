"""`spp.distill`: training that also follows the outputs of another model, mostly the dense one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tf_keras as keras

from keras_spp import frameworks
from keras_spp.frameworks.tf_keras.softmax import ends_in_softmax
from keras_spp.util.checks import check_number

MOST = 1e6


def distill(
    model: keras.Model,
    teacher: keras.Model,
    *,
    weight: float = 1.0,
    temperature: float = 4.0,
    from_logits: bool | None = None,
    loss: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None = None,
) -> keras.Model:
    """A model whose training adds to the loss how far its outputs are from a teacher's.

    The sum is ``loss + weight * temperature ** 2 * KL(teacher || model)``, the divergence being
    that of the class probabilities softened by the temperature (Hinton, Vinyals and Dean,
    "Distilling the knowledge in a neural network", 2015, section 2). `evaluate`, `predict` and
    metrics are those of the model.

    Args:
        model: A pruned, shrunk or plain functional or Sequential tf_keras model.
        teacher: A model with the same inputs and outputs of the same shapes; it is not trained.
        weight: Of the added term, at least 0.
        temperature: Divides both models' logits, greater than 0.
        from_logits: Whether outputs are logits, not probabilities; None: unless a softmax makes
            them in the last layer, which is looked at for each model and output.
        loss: Instead of the divergence a function of (teacher's output, model's output), for each
            output; for anything but logits or class probabilities along the last axis.

    Returns:
        A model that shares the layers of `model`, to be compiled and fitted in its place, with
        `spp.SPPCallback` if it is pruned. What is trained, shrunk and saved is `model`, without
        an optimizer; give the result itself to `spp.sliced_optimizer`. Losses of `add_loss` and
        a `train_step` of the model's own class are left out.

    Raises:
        TypeError: If `model` or `teacher` is no tf_keras model.
        ValueError: If their shapes differ, or an argument is outside its range.

    Example:
        >>> import numpy as np, tf_keras as keras, keras_spp as spp
        >>> dense = keras.Sequential([
        ...     keras.Input((4,)), keras.layers.Dense(32), keras.layers.Dense(3)])
        >>> pruned = spp.prune(dense, pruning_ratio=0.5, schedule=spp.SPPSchedule(A=0.5))
        >>> distilled = distill(pruned, dense)
        >>> loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        >>> distilled.compile("sgd", loss)
        >>> x, y = np.ones((64, 4)), np.ones(64)
        >>> _ = distilled.fit(x, y, batch_size=1, verbose=0, callbacks=[spp.SPPCallback()])
        >>> small = spp.shrink(pruned)
    """
    for name, value in (("model", model), ("teacher", teacher)):
        frameworks.of(value, name)
    check_number("weight", weight, 0, MOST, "a number of at least 0")
    check_number("temperature", temperature, 1e-6, MOST, "a number greater than 0")
    shapes = [tf.nest.map_structure(lambda x: x.shape, each.outputs) for each in (model, teacher)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"`teacher` must have outputs of the shapes of `model`'s, {shapes[0]}, but has "
            f"{shapes[1]}."
        )
    if loss is None and any(shape[-1] == 1 for shape in shapes[0]):
        raise ValueError(
            f"`loss` must be given because `model` has an output of shape {shapes[0]}, which holds "
            f"no classes along its last axis."
        )
    ends = zip(teacher.outputs, model.outputs, strict=True)
    losses = [loss or _divergence(*pair, temperature, from_logits) for pair in ends]

    def distance(x: Any, outputs: Any) -> tf.Tensor:
        wanted = tf.nest.flatten(teacher(x, training=False))
        pairs = zip(losses, wanted, tf.nest.flatten(outputs), strict=True)
        terms = [tf.reduce_mean(each(tf.stop_gradient(a), b)) for each, a, b in pairs]
        # Gradients of all replicas are added; Keras divides its own losses in the same way.
        return weight * tf.add_n(terms) / tf.distribute.get_strategy().num_replicas_in_sync

    return _Distilled(model._nested_inputs, model._nested_outputs, distance)


def _divergence(
    teachers: Any, models: Any, temperature: float, from_logits: bool | None
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Of softened probabilities, from logits or, where a softmax makes the output, from those."""
    softmax = [
        ends_in_softmax(output) if from_logits is None else not from_logits
        for output in (teachers, models)
    ]

    def softened(x: tf.Tensor, is_softmax: bool) -> tf.Tensor:
        x = tf.cast(x, tf.float32)
        logits = tf.math.log(tf.maximum(x, 1e-7)) if is_softmax else x
        return tf.nn.log_softmax(logits / temperature)

    def loss(wanted: tf.Tensor, given: tf.Tensor) -> tf.Tensor:
        wanted, given = softened(wanted, softmax[0]), softened(given, softmax[1])
        return temperature**2 * tf.reduce_sum(tf.exp(wanted) * (wanted - given), -1)

    return loss


class _Distilled(keras.Model):
    """A functional model with another training step."""

    def __init__(self, inputs: Any, outputs: Any, distance: Callable[[Any, Any], Any]) -> None:
        super().__init__(inputs=inputs, outputs=outputs)
        # Not the teacher: Keras would make a model in an attribute a part of this one.
        self.distance = distance

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Saves the plain model of the same layers: this class needs a teacher to be made."""
        plain = keras.Model(self._nested_inputs, self._nested_outputs, name=self.name)
        plain.save(*args, **kwargs)

    def train_step(self, data: Any) -> dict[str, Any]:
        """That of Keras, with one more term in the loss."""
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            outputs = self(x, training=True)
            own = self.compute_loss(x, y, outputs, weight)
            self._validate_target_and_loss(y, own)
            loss = tf.cast(own, tf.float32) + self.distance(x, outputs)
        self.optimizer.minimize(loss, self.trainable_variables, tape=tape)
        return self.compute_metrics(x, y, outputs, weight)
