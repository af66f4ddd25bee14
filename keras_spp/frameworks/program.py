"""A model as a list of calls: nested models opened, tensors numbered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from keras_spp.core.kinds import is_a
from keras_spp.frameworks.graphs import Graph


@dataclass(frozen=True)
class Place:
    """Stands for a tensor in the arguments of a call."""

    number: int


@dataclass(frozen=True, eq=False)
class Step:
    """One call of one layer.

    Attributes:
        graph: The functions that know the layer.
        layer: The layer, in its pruning wrapper if it has one.
        args: Its arguments, a `Place` for each tensor.
        kwargs: Its keyword arguments.
        outputs: The numbers of the tensors that it returns, flat.
    """

    graph: Graph
    layer: Any
    args: tuple
    kwargs: Mapping[str, Any]
    outputs: list[int]

    @property
    def core(self) -> Any:
        """The layer that computes: without a pruning wrapper, and the one in TimeDistributed."""
        layer = self.graph.unwrap(self.layer)
        return self.graph.unwrap(layer.layer) if self.graph.is_repeated(layer) else layer

    @property
    def repeated(self) -> bool:
        """Whether that layer is applied to every time step."""
        return self.graph.is_repeated(self.graph.unwrap(self.layer))

    @property
    def weights(self) -> list[Any]:
        """The weights of that layer; none for a function."""
        return getattr(self.core, "weights", [])

    @cached_property
    def inputs(self) -> list[int]:
        """The numbers of the tensors that it takes, flat."""
        places = self.graph.flatten((self.args, dict(self.kwargs)))
        return [place.number for place in places if isinstance(place, Place)]

    @property
    def adds(self) -> bool:
        """Whether it adds up its inputs, and does nothing else."""
        return self.graph.adds(self.layer)

    def run(self, tensors: Mapping[int, Any]) -> list[Any]:
        """Calls the layer.

        Args:
            tensors: The values of the tensors by their numbers.

        Returns:
            What it returns, flat.
        """
        args, kwargs = self.graph.map_structure(
            lambda value: tensors[value.number] if isinstance(value, Place) else value,
            (self.args, dict(self.kwargs)),
        )
        return self.graph.infer(self.layer, args, kwargs)


class Program:
    """The calls of a model in order.

    Models of one structure number their tensors alike.

    Args:
        graph: The functions that know the model.
        model: A functional or Sequential model.

    Attributes:
        inputs: The numbers of its inputs.
        steps: The calls.
        outputs: The numbers of its outputs.
    """

    def __init__(self, graph: Graph, model: Any) -> None:
        self.graph, self.model = graph, model
        self.steps: list[Step] = []
        self._count = 0
        self.inputs = [self._new() for _ in model.inputs]
        self.outputs = self._walk(model, self.inputs)

    def _new(self) -> int:
        self._count += 1
        return self._count - 1

    def _walk(self, model: Any, inputs: list[int]) -> list[int]:
        numbers = dict(zip(map(id, model.inputs), inputs, strict=True))

        def placed(value: Any) -> Any:
            return Place(numbers[id(value)]) if id(value) in numbers else value

        for node in self.graph.nodes(model):
            if is_a(node.layer, "AddLoss", "AddMetric"):
                continue
            args, kwargs = self.graph.map_structure(
                placed, (tuple(node.call_args), dict(node.call_kwargs))
            )
            results = list(map(id, self.graph.flatten(node.outputs)))
            if self.graph.is_graph(node.layer):
                given = self.graph.in_reference_order(node.layer, args[0])
                outputs = self._walk(node.layer, [place.number for place in given])
            else:
                outputs = [self._new() for _ in results]
                self.steps.append(Step(self.graph, node.layer, args, kwargs, outputs))
            numbers.update(zip(results, outputs, strict=True))
        return [numbers[id(tensor)] for tensor in model.outputs]
