"""Rebuilds a model of new layers, and fills them with the old weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from keras_spp.frameworks.graphs import Graph

MakeLayer = Callable[[Any], Any]
EditCall = Callable[[Any, tuple, dict], tuple[tuple, dict]]


class Rebuilding:
    """The new layers of a model and of those nested in it, each made once.

    An adapter's own class says how a model is put together.

    Args:
        model: A functional or Sequential model, never modified.
        make_layer: Returns the new layer for an old one (called once per layer, inputs included;
            nested models are rebuilt with the same function).
        edit_call: Receives (layer, args, kwargs) of each call and returns the arguments to use.
    """

    graph: Graph

    def __init__(self, model: Any, make_layer: MakeLayer, edit_call: EditCall | None) -> None:
        self.make_layer, self.edit_call = make_layer, edit_call
        self.made: dict[int, Any] = {}
        self.tied = {id(tied) for tied in self.variables_in_calls(model)}
        self.variables: dict[int, Any] = {}  # the new variable by the id of the old one

    # -- what an adapter says ------------------------------------------------------------------

    def variables_in_calls(self, model: Any) -> Iterable[Any]:
        """Yields the variables with which functions are called, perhaps a layer's."""
        raise NotImplementedError

    def finished(self, part: Any, result: Any) -> Any:
        """Returns a new model with what else the old one has."""
        raise NotImplementedError

    def is_sequential(self, part: Any) -> bool:
        """Tells whether a model is Sequential."""
        raise NotImplementedError

    def sequential(self, part: Any) -> Any:
        """Returns the new model for a Sequential one."""
        raise NotImplementedError

    def input_layer(self, tensor: Any) -> Any:
        """Returns the layer that a model's input comes from."""
        raise NotImplementedError

    def call(self, layer: Any, args: tuple, kwargs: dict[str, Any]) -> tuple[Any, Any]:
        """Calls a new layer; returns the outputs, and the call as the framework remembers it."""
        raise NotImplementedError

    def put_together(
        self, part: Any, lookup: Callable[[Any], Any], calls: list[tuple[Any, Any]]
    ) -> Any:
        """Returns the new model for a functional one.

        Args:
            part: The old one.
            lookup: Returns the new tensor for an old one.
            calls: The old calls and the new ones.
        """
        raise NotImplementedError

    def repeated(self, layer: Any, inner: Any) -> Any:
        """Returns a layer that repeats a new layer in time as an old one repeats the old one."""
        raise NotImplementedError

    # -- the walk ------------------------------------------------------------------------------

    def model(self, part: Any) -> Any:
        """Returns the new model for one of the old ones."""
        result = self.sequential(part) if self.is_sequential(part) else self._graph(part)
        return self.finished(part, result)

    def _graph(self, part: Any) -> Any:
        copies = [self.layer(self.input_layer(tensor)) for tensor in part.inputs]
        tensors = {id(old): copy.output for old, copy in zip(part.inputs, copies, strict=True)}
        calls = []

        def lookup(argument: Any) -> Any:
            return tensors.get(id(argument), self.variables.get(id(argument), argument))

        for node in self.graph.nodes(part):
            args, kwargs = self.graph.map_structure(
                lookup, (tuple(node.call_args), dict(node.call_kwargs))
            )
            if self.edit_call is not None:
                args, kwargs = self.edit_call(node.layer, args, kwargs)
            outputs, call = self.call(self.layer(node.layer), args, kwargs)
            calls.append((node, call))
            self.remember_tied(node.layer)
            olds, news = map(self.graph.flatten, (node.outputs, outputs))
            tensors.update(zip(map(id, olds), news, strict=True))
        return self.put_together(part, lookup, calls)

    def layer(self, layer: Any) -> Any:
        """Returns the new layer, or model, for an old one."""
        if id(layer) not in self.made:
            self.made[id(layer)] = self._make(layer)
        return self.made[id(layer)]

    def _make(self, layer: Any) -> Any:
        if self.graph.is_graph(layer):
            return self.model(layer)
        if self.graph.is_repeated(layer):
            return self.repeated(layer, self.layer(layer.layer))
        return self.make_layer(layer)

    def remember_tied(self, layer: Any) -> None:
        """Remembers which new variable replaces one with which a function is called too."""
        copy, graph = self.made[id(layer)], self.graph
        if self.tied and not graph.is_graph(layer) and not graph.is_graph(copy):
            old, new = (getattr(graph.unwrap(part), "weights", []) for part in (layer, copy))
            pairs = zip(old, new, strict=False)
            self.variables.update((id(old), new) for old, new in pairs if id(old) in self.tied)


def fill(graph: Graph, model: Any, rebuilt: Any, value: Callable[[Any, Any], np.ndarray]) -> None:
    """Fills a rebuilt model with the old weights, which `value(layer, variable)` may change."""
    for old, new in zip(graph.layers(model), graph.layers(rebuilt), strict=True):
        old, new = graph.unwrap(old), graph.unwrap(new)
        if not old.weights:
            continue
        values = [value(old, variable) for variable in old.weights]
        try:
            new.set_weights(values)
        except ValueError as error:
            raise ValueError(
                f"`model` has a layer {old.name!r} ({type(old).__name__}) whose copy has weights "
                f"of other shapes than it should ({error}): its rule must resize every entry of "
                f"the config that depends on its channels."
            ) from error
        if hasattr(new, "finalize_state"):  # preprocessing layers derive tensors from weights
            new.finalize_state()
