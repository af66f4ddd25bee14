"""Labels every channel of a model: moves labels through its layers, call by call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from keras_spp.core.call import Call, Framework, tensors_in
from keras_spp.core.channels import Channels, Reason, Sizes, Tensor
from keras_spp.core.common_rules import count
from keras_spp.core.coupling import Coupling, couple
from keras_spp.frameworks.graphs import Graph, Node

Shape = tuple[int | None, ...]


class Tracing:
    """One pass of labels through a model; an adapter's own class answers what is its own.

    Args:
        channels: The record to fill.
    """

    graph: Graph
    labelling: Framework
    input_shape_key: str  # of an input layer's config

    def __init__(self, channels: Channels) -> None:
        self.channels = channels

    # -- what an adapter says ------------------------------------------------------------------

    def input_layer(self, tensor: Any) -> Any:
        """Returns the layer that a model's input comes from."""
        raise NotImplementedError

    def shape_and_dtype(self, tensor: Any) -> tuple[Shape, Any]:
        """Returns the static shape and the type of a symbolic tensor."""
        raise NotImplementedError

    def shapes(self, nodes: list[Any], inputs: list[tuple[Any, Shape]]) -> dict[int, Shape]:
        """Returns the shapes of tensors that differ from the static ones, by the tensor's id."""
        raise NotImplementedError

    def macs(self, node: Any, shape_of: Callable[[Any], Shape]) -> int | None:
        """Counts the multiply-accumulates of a call; None if that cannot be told."""
        raise NotImplementedError

    def apply(self, call: Call, args: tuple, kwargs: dict) -> list[Tensor]:
        """Applies the rule of a layer, and freezes what it holds to its size."""
        raise NotImplementedError

    # -- the pass ------------------------------------------------------------------------------

    def inputs(self, model: Any, sizes: Sequence[Sizes] | None) -> list[Tensor]:
        """Labels the inputs of a model, which all stay.

        Args:
            model: The model.
            sizes: Those of each input without the batch; None for what the model declares.
        """
        inputs = []
        for number, tensor in enumerate(model.inputs):
            shape = tuple(tensor.shape) if sizes is None else (tensor.shape[0], *sizes[number])
            labels = self.channels.new(shape[-1] or 1) if len(shape) > 1 else self.channels.new(1)
            self.channels.freeze(labels, Reason.INPUT, self.input_layer(tensor).name)
            labels = labels.reshape([1] * (len(shape) - 1) + [-1])
            inputs.append(Tensor(labels, shape, tensor.dtype))
        return inputs

    def trace(self, model: Any, inputs: list[Tensor]) -> list[Tensor]:
        """Moves labelled inputs through a model and returns its labelled outputs."""
        graph = self.graph
        calls = list(graph.nodes(model))
        pairs = list(zip(model.inputs, inputs, strict=True))
        sizes = self.shapes(calls, [(tensor, x.shape) for tensor, x in pairs])
        labelled = {id(tensor): x for tensor, x in pairs}

        def lookup(argument: Any) -> Any:
            return labelled.get(id(argument), argument)

        for node in calls:
            args, kwargs = graph.map_structure(
                lookup, (tuple(node.call_args), dict(node.call_kwargs))
            )
            results = graph.flatten(node.outputs)
            static = list(map(self.shape_and_dtype, results))
            shapes = [
                sizes.get(id(result), shape)
                for result, (shape, _) in zip(results, static, strict=True)
            ]
            dtypes = [dtype for _, dtype in static]
            outputs = self._layer(node.layer, args, kwargs, shapes, dtypes)
            labelled.update(zip(map(id, results), outputs, strict=True))
            self._measure(node, lambda tensor: lookup(tensor).shape)
        return [labelled[id(tensor)] for tensor in model.outputs]

    def _measure(self, node: Node, shape_of: Callable[[Any], Shape]) -> None:
        for part in self.channels.take_unmeasured():
            self.channels.cost_measured(part, self.macs(node, shape_of))

    def _layer(
        self, layer: Any, args: tuple, kwargs: dict, shapes: list[Shape], dtypes: list[Any]
    ) -> list[Tensor]:
        graph = self.graph
        layer, tensors = graph.unwrap(layer), tensors_in(args, kwargs)
        if graph.is_graph(layer):
            if args:  # a dict may have more entries than the model has inputs
                tensors = tensors_in(graph.in_reference_order(layer, args[0]))
            for tensor, x in zip(layer.inputs, tensors, strict=True):
                self._label_input(self.input_layer(tensor), x)
            return self.trace(layer, tensors)
        if not graph.is_repeated(layer):
            return self.apply(
                Call(self.labelling, self.channels, layer, shapes, dtypes), args, kwargs
            )
        # The layer inside has no time axis; channels that differ along it are tied.
        tensors = tensors_in(args)
        steps = [
            Tensor(self.channels.same_along(x.labels, 1)[:, 0], (x.shape[0], *x.shape[2:]), x.dtype)
            for x in tensors
        ]
        for mask in tensors_in(kwargs):  # it tells steps from each other
            self.channels.freeze(mask.labels, Reason.MIXES, layer.name)
        inner_shapes = [(shape[0], *shape[2:]) for shape in shapes]
        with self.channels.repeated(tensors[0].shape[1]):
            outputs = self._layer(
                layer.layer, (graph.pack_sequence_as(args[0], steps),), {}, inner_shapes, dtypes
            )
        return [
            Tensor(output.labels[:, None], *rest)
            for output, *rest in zip(outputs, shapes, dtypes, strict=True)
        ]

    def _label_input(self, layer: Any, x: Tensor) -> None:
        """Records the channels of a nested model's input in the shape that the input declares."""
        key = self.input_shape_key
        shape = layer.get_config()[key]
        for axis in x.varying or [len(shape) - 1]:
            if shape[axis] is not None:
                self.channels.edit(
                    layer,
                    key,
                    [self.channels.vector(x, axis)],
                    lambda keep, at=axis: (*shape[:at], count(keep), *shape[at + 1 :]),
                )


def coupled(
    channels: Channels,
    outputs: Sequence[Tensor],
    policy: Any,
    is_frozen: Callable[[Any], bool] | None,
) -> Coupling:
    """Freezes what a model returns and what may not be pruned, and couples the rest.

    Args:
        channels: The record of the model.
        outputs: The labelled outputs.
        policy: Layers that it refuses keep all their channels; None for none.
        is_frozen: Tells which layers keep theirs because training leaves them alone; None: none.
    """
    for tensor in tensors_in(outputs):
        channels.freeze(tensor.labels, Reason.OUTPUT)
    for axis in list(channels.axes.values()):
        reason = None
        if axis.role != "follows" and is_frozen is not None and is_frozen(axis.layer):
            reason = Reason.FROZEN
        elif axis.role != "follows" and policy is not None and not policy.allow_pruning(axis.layer):
            reason = Reason.POLICY
        if reason is not None:
            channels.refused.add(id(axis.layer))
            channels.freeze(axis.labels, reason, axis.layer.name)
    return couple(channels)
