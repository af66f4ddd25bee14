"""`spp.distill`: training that also follows the outputs of another model, mostly the dense one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras_spp import frameworks
from keras_spp.frameworks.interface import Model
from keras_spp.util.checks import check_number

MOST = 1e6


def distill(
    model: Model,
    teacher: Model,
    *,
    weight: float = 1.0,
    temperature: float = 4.0,
    from_logits: bool | None = None,
    loss: Callable[[Any, Any], Any] | None = None,
) -> Model:
    """Returns a model whose training adds to the loss how far its outputs are from a teacher's.

    The sum is ``loss + weight * temperature ** 2 * KL(teacher || model)``, the divergence being
    that of the class probabilities softened by the temperature (Hinton, Vinyals and Dean,
    "Distilling the knowledge in a neural network", 2015, section 2). `evaluate`, `predict` and
    metrics are those of the model.

    Args:
        model: A pruned, shrunk or plain functional or Sequential model of tf_keras or Keras 3.
        teacher: A model of the same Keras with the same inputs and outputs of the same shapes; it
            is not trained.
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
        TypeError: If `model` or `teacher` is no model, or of the other Keras.
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
    framework = frameworks.of(model)
    framework.check(teacher, "teacher")
    check_number("weight", weight, 0, MOST, "a number of at least 0")
    check_number("temperature", temperature, 1e-6, MOST, "a number greater than 0")
    shapes = [[output.shape for output in network.outputs] for network in (model, teacher)]
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
    return framework.distilled(model, teacher, weight, temperature, loss, from_logits)
