"""A model as a list of calls: nested models opened, tensors numbered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import tensorflow as tf
import tf_keras as keras

from keras_spp.core.kinds import is_a
from keras_spp.frameworks.tf_keras import private
from keras_spp.frameworks.tf_keras.graph import is_repeated, nodes
from keras_spp.frameworks.tf_keras.models import is_graph
from keras_spp.frameworks.tf_keras.private import TFOpLambda
from keras_spp.frameworks.tf_keras.wrapper import unwrap

_ADDITIONS = frozenset({"math.add", "__operators__.add", "add", "math.add_n"})


@dataclass(frozen=True)
class Place:
    """Stands for a tensor in the arguments of a call."""

    number: int


@dataclass(frozen=True, eq=False)
class Step:
    """One call of one layer.

    Attributes:
        layer: The layer, in its pruning wrapper if it has one.
        args: Its arguments, a `Place` for each tensor.
        kwargs: Its keyword arguments.
        outputs: The numbers of the tensors that it returns, flat.
    """

    layer: Any
    args: tuple
    kwargs: Mapping[str, Any]
    outputs: list[int]

    @property
    def core(self) -> Any:
        """The layer that computes: without a pruning wrapper, and the one in TimeDistributed."""
        layer = unwrap(self.layer)
        return unwrap(layer.layer) if is_repeated(layer) else layer

    @property
    def repeated(self) -> bool:
        """Whether that layer is applied to every time step."""
        return is_repeated(unwrap(self.layer))

    @cached_property
    def inputs(self) -> list[int]:
        """The numbers of the tensors that it takes, flat."""
        places = tf.nest.flatten((self.args, dict(self.kwargs)))
        return [place.number for place in places if isinstance(place, Place)]

    @property
    def adds(self) -> bool:
        """Whether it adds up its inputs, and does nothing else."""
        if is_a(self.layer, "Add"):
            return True
        return isinstance(self.layer, TFOpLambda) and (
            self.layer.get_config()["function"] in _ADDITIONS
        )

    def run(self, tensors: Mapping[int, Any]) -> list[Any]:
        """Calls the layer.

        Args:
            tensors: The values of the tensors by their numbers.

        Returns:
            What it returns, flat.
        """
        args, kwargs = tf.nest.map_structure(
            lambda value: tensors[value.number] if isinstance(value, Place) else value,
            (self.args, dict(self.kwargs)),
        )
        if private.expects_training(self.layer) and kwargs.get("training") is None:
            kwargs["training"] = False
        with private.losses_as_they_were(self.layer):
            return tf.nest.flatten(self.layer(*args, **kwargs))


class Program:
    """The calls of a model in order.

    Models of one structure number their tensors alike.

    Args:
        model: A functional or Sequential model.

    Attributes:
        inputs: The numbers of its inputs.
        steps: The calls.
        outputs: The numbers of its outputs.
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        self.steps: list[Step] = []
        self._count = 0
        self.inputs = [self._new() for _ in model.inputs]
        self.outputs = self._walk(model, self.inputs)

    def _new(self) -> int:
        self._count += 1
        return self._count - 1

    def _walk(self, model: keras.Model, inputs: list[int]) -> list[int]:
        numbers = dict(zip(map(id, model.inputs), inputs, strict=True))

        def placed(value: Any) -> Any:
            return Place(numbers[id(value)]) if id(value) in numbers else value

        for node in nodes(model):
            if is_a(node.layer, "AddLoss", "AddMetric"):
                continue
            args, kwargs = tf.nest.map_structure(
                placed, (tuple(node.call_args), dict(node.call_kwargs))
            )
            results = list(map(id, tf.nest.flatten(node.outputs)))
            if is_graph(node.layer):
                given = private.in_reference_order(node.layer, args[0])
                outputs = self._walk(node.layer, [place.number for place in given])
            else:
                outputs = [self._new() for _ in results]
                self.steps.append(Step(node.layer, args, kwargs, outputs))
            numbers.update(zip(results, outputs, strict=True))
        return [numbers[id(tensor)] for tensor in model.outputs]
