"""The graph of a model's layer calls, as what all adapters share sees it.

An adapter's module `graph` has the functions of `Graph`. A `Node` is one call of one layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol


class Node(Protocol):
    """One call of one layer in a model.

    Attributes:
        layer: The layer, or what else is called: a function that the framework gives a node.
        call_args: Its arguments, symbolic tensors among them.
        call_kwargs: Its keyword arguments.
        outputs: The symbolic tensors that it returns.
    """

    layer: Any
    call_args: Any
    call_kwargs: Mapping[str, Any]
    outputs: Any


class Graph(Protocol):
    """The functions of an adapter's module `graph`."""

    def nodes(self, model: Any) -> Iterator[Any]:
        """Yields the layer calls of one model, without inputs, in the order in which it calls."""

    def layers(self, model: Any) -> Iterator[Any]:
        """Yields every layer once, nested models opened, in the order of the first call."""

    def is_graph(self, layer: Any) -> bool:
        """Tells whether a layer is a model whose graph of layers defines what it computes."""

    def is_repeated(self, layer: Any) -> bool:
        """Tells whether a layer applies the layer inside it to every time step."""

    def unwrap(self, layer: Any) -> Any:
        """Returns the layer inside a pruning wrapper; any other layer itself."""

    def in_reference_order(self, model: Any, inputs: Any) -> list[Any]:
        """Flattens what a model is called with in the order of its inputs."""

    def infer(self, layer: Any, args: tuple, kwargs: Mapping[str, Any]) -> list[Any]:
        """Calls a layer in inference, without adding to its losses; returns the outputs, flat."""

    def adds(self, layer: Any) -> bool:
        """Tells whether a layer adds up its inputs, and does nothing else."""

    def flatten(self, structure: Any) -> list[Any]:
        """Lists what is in a structure."""

    def map_structure(self, function: Callable[..., Any], *structures: Any) -> Any:
        """Calls a function with what is at one place of structures that are alike."""

    def pack_sequence_as(self, structure: Any, flat: list[Any]) -> Any:
        """Returns a structure like another one, of other items."""
