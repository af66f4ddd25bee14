"""NaN and infinity in training: found before an update decides on them, and told afterwards.

Updates happen inside the training step, compiled perhaps and on every replica, where nothing can
be raised. So an update that meets such numbers changes nothing and leaves a record in a variable;
whoever looks at the model from outside raises what the record says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_spp import frameworks
from keras_spp.frameworks.interface import Layer, Model, Tensor, Variable

NONE = -1


class Faults:
    """The record of one model.

    Args:
        model: The pruned model.
        record: Variable for the step at which an update was stopped and the number of the layer
            in the model's order, shape (2,), integers; both -1 where none was.
    """

    def __init__(self, model: Model, record: Variable) -> None:
        self._framework = frameworks.adapter(model)
        self._layers = list(self._framework.layers(model))
        self._record = record

    def note(self, step: Tensor, wrappers: Sequence[Any], scores: Sequence[Tensor]) -> Tensor:
        """Says whether an update may go on (scalar bool); where it may not that is recorded.

        It may if all weights that are trained are finite, and all scores. Not those alone: a
        maximum over NaN can be a number, and then layers behind a broken one look sound.

        Args:
            step: The training step, a scalar integer.
            wrappers: The pruning wrappers.
            scores: Their groups' scores, each of shape (groups,).
        """
        arrays = self._framework.arrays
        of_layer = {id(wrapper): score for wrapper, score in zip(wrappers, scores, strict=True)}
        numbers, sound = [], []
        for number, layer in enumerate(self._layers):
            values = [self._framework.raw(weight) for weight in _floats(layer)]
            values += [of_layer[id(layer)]] if id(layer) in of_layer else []
            numbers += [number] * len(values)
            sound += [arrays.reshape(arrays.all(arrays.isfinite(value)), [1]) for value in values]
        flags = arrays.concatenate(sound)
        good = arrays.all(flags)
        broken = arrays.argsort(arrays.cast(flags, "int32"))[:1]  # the first that is not sound
        number = arrays.cast(arrays.take(np.asarray(numbers, np.int32), broken), "int64")
        first = arrays.concatenate([arrays.reshape(arrays.cast(step, "int64"), [1]), number])
        recorded = arrays.cast(self._record, "int64")
        # The first one says more than the last.
        bad = arrays.where(recorded[0] > NONE, recorded, first)
        self._record.assign(arrays.where(good, arrays.cast([NONE, NONE], "int64"), bad))
        return good

    def tell(self) -> None:
        """Raises what is recorded.

        Raises:
            FloatingPointError: With the layer and the step.
        """
        step, number = self._framework.read(self._record).tolist()
        if step > NONE:
            raise FloatingPointError(
                f"SPP stopped at step {step}, before an update of the pruning probabilities: the "
                f"weights or scores of layer {self._layers[number].name!r} hold NaN or infinity; "
                f"go back to a checkpoint of model and optimizer, then lower the learning rate, "
                f"clip gradients or look for such numbers in the data."
            )

    def start(self, step: int) -> None:
        """Begins anew, with weights that are sound now.

        Raises:
            FloatingPointError: If they are not.
        """
        for layer in self._layers:
            values = map(self._framework.read, _floats(layer))
            if not all(np.isfinite(value).all() for value in values):
                raise FloatingPointError(
                    f"SPP cannot go on at step {step}: the weights of layer {layer.name!r} hold "
                    f"NaN or infinity; go back to a sound checkpoint of model and optimizer."
                )
        self._record.assign([NONE, NONE])


def _floats(layer: Layer) -> list[Variable]:
    def is_float(dtype: Any) -> bool:
        return "float" in getattr(dtype, "name", dtype)

    return [weight for weight in layer.trainable_weights if is_float(weight.dtype)]
