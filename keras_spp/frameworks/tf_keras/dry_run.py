"""Symbolic runs: for sizes that Keras leaves open, and for MACs of layers without a rule.

Nothing is computed: one sample of the right shape is sent through the layers symbolically.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import tensorflow as tf

from keras_spp.frameworks.tensorflow.graph_macs import graph_macs
from keras_spp.frameworks.tf_keras import private
from keras_spp.frameworks.tf_keras.private import TFOpLambda

Shape = tuple[int | None, ...]


def static_shape(tensor: Any) -> Shape:
    """Returns a Keras tensor's shape; that of a scalar if there is no tensor or no rank."""
    shape = getattr(tensor.type_spec, "shape", None)
    return () if shape is None or shape.rank is None else tuple(shape)


@contextlib.contextmanager
def _dry_run(inputs: Iterable[tuple[Any, Shape]]) -> Iterator[tuple[tf.Graph, dict[int, Any]]]:
    """Yields a separate graph, and its placeholders by the ids of the tensors they replace."""
    graph = private.internal.FuncGraph("dry_run")
    with graph.as_default():
        yield (
            graph,
            {
                id(tensor): tf.compat.v1.placeholder(tensor.dtype, (shape[0] or 1, *shape[1:]))
                for tensor, shape in inputs
            },
        )


def _call(node: Any, values: dict[int, Any]) -> list[Any]:
    """Calls a node's layer as the model calls it, without adding to its losses."""
    args, kwargs = tf.nest.map_structure(
        lambda argument: values.get(id(argument), argument),
        (tuple(node.call_args), dict(node.call_kwargs)),
    )
    if private.expects_training(node.layer):
        kwargs["training"] = False
    with private.losses_as_they_were(node.layer):
        outputs = tf.nest.flatten(node.layer(*args, **kwargs))
    return outputs


def shapes(nodes: list[Any], inputs: list[tuple[Any, Shape]]) -> dict[int, Shape]:
    """Returns shapes that Keras leaves open though the inputs' are fixed, by the tensor's id.

    Open sizes occur in a nested model whose own input is open, and behind a reshape to
    `tf.shape(x)`. If a batch differs from the input's, one sample was spread over several entries.

    Args:
        nodes: The calls of a model in order.
        inputs: Its input tensors and the shapes that they have.
    """
    results = [result for node in nodes for result in tf.nest.flatten(node.outputs)]
    complete = all(None not in static_shape(result)[1:] for result in results)
    complete &= all(tensor.shape[:1] == list(shape[:1]) for tensor, shape in inputs)
    if complete and not any(map(_may_spread, nodes)):
        return {}
    if any(None in shape[1:] for _, shape in inputs):
        return {}
    try:
        with _dry_run(inputs) as (_, values):
            for node in nodes:
                outputs = _call(node, values)
                values.update(zip(map(id, tf.nest.flatten(node.outputs)), outputs, strict=True))
    except Exception:  # a layer that needs several samples, say: Keras' own shapes remain
        return {}
    shapes_by_id = {}
    for result in results:
        if shape := static_shape(result):
            batch, *sizes = values[id(result)].shape
            shapes_by_id[id(result)] = (shape[0] if batch == 1 else batch, *sizes)
    return shapes_by_id


def _may_spread(node: Any) -> bool:
    """Tells whether a call can spread one sample over several entries of the batch."""
    names = ("reshape", "concat", "tile", "repeat", "space_to_batch", "batch_to_space")
    function = (
        str(node.layer.get_config().get("function", ""))
        if isinstance(node.layer, TFOpLambda)
        else ""
    )
    return any(name in function for name in names)


def macs(node: Any, shape_of: Callable[[Any], Shape]) -> int | None:
    """Counts the multiply-accumulates of one call of a layer: its convolutions and products.

    Those inside loops are not counted.

    Args:
        node: The call.
        shape_of: Returns the shape of one of its input tensors.

    Returns:
        The count; None if a size is open or one sample cannot be sent through.
    """
    inputs = [(tensor, shape_of(tensor)) for tensor in tf.nest.flatten(node.keras_inputs)]
    if any(None in shape[1:] for _, shape in inputs):
        return None
    try:
        with _dry_run(inputs) as (graph, values):
            _call(node, values)
    except Exception:  # as above
        return None
    return graph_macs(graph)
