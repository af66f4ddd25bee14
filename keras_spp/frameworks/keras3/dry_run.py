"""Symbolic runs: for sizes that Keras leaves open, and for MACs of layers without a rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from keras_spp.core.kinds import own_name
from keras_spp.frameworks.keras3.graph import Node, infer
from keras_spp.frameworks.keras3.traced_macs import traced_macs

Shape = tuple[int | None, ...]
_MAY_SPREAD = frozenset({"Concatenate", "Repeat", "Reshape", "Tile"})


def shapes(nodes: list[Node], inputs: list[tuple[Any, Shape]]) -> dict[int, Shape]:
    """Returns shapes that Keras leaves open though the inputs' are fixed, by the tensor's id.

    Open sizes occur in a nested model whose own input is open, and behind an EinsumDense that was
    told an open one. If a batch differs from the input's, one sample was spread over several
    entries.

    Args:
        nodes: The calls of a model in order.
        inputs: Its input tensors and the shapes that they have.
    """
    results = [result for node in nodes for result in node.outputs]
    complete = all(None not in result.shape[1:] for result in results)
    complete &= all(tuple(tensor.shape) == tuple(shape) for tensor, shape in inputs)
    if complete and not any(own_name(type(node.layer)) in _MAY_SPREAD for node in nodes):
        return {}
    if any(None in shape[1:] for _, shape in inputs):
        return {}
    specs = {id(tensor): _one(shape, tensor.dtype) for tensor, shape in inputs}
    try:
        for node in nodes:
            args, kwargs = _filled(node, specs)
            outputs = keras.tree.flatten(node.layer.compute_output_spec(*args, **kwargs))
            if any(None in output.shape for output in outputs):  # as EinsumDense was told
                called = keras.Operation.compute_output_spec(node.layer, *args, **kwargs)
                outputs = keras.tree.flatten(called)
            specs.update(zip(map(id, node.outputs), outputs, strict=True))
    except Exception:  # a layer that needs several samples, say: Keras' own shapes remain
        return {}
    shapes_by_id: dict[int, Shape] = {}
    for result in results:
        if declared := tuple(result.shape):
            batch, *sizes = specs[id(result)].shape
            shapes_by_id[id(result)] = (declared[0] if batch == 1 else batch, *sizes)
    return shapes_by_id


def macs(node: Node, shape_of: Callable[[Any], Shape]) -> int | None:
    """Counts the multiply-accumulates of one call of a layer: its convolutions and products.

    Args:
        node: The call.
        shape_of: Returns the shape of one of its input tensors.

    Returns:
        The count; None if a size is open, or one sample cannot be sent through.
    """
    tensors = keras.tree.flatten((node.call_args, dict(node.call_kwargs)))
    tensors = list({id(x): x for x in tensors if isinstance(x, keras.KerasTensor)}.values())
    shapes_of_inputs = [shape_of(tensor) for tensor in tensors]
    if any(None in shape[1:] for shape in shapes_of_inputs):
        return None

    def call(*values: Any) -> Any:
        args, kwargs = _filled(node, dict(zip(map(id, tensors), values, strict=True)))
        return infer(node.layer, args, kwargs)

    samples = [
        _one(shape, tensor.dtype) for tensor, shape in zip(tensors, shapes_of_inputs, strict=True)
    ]
    try:
        return traced_macs(call, samples)
    except Exception:  # as above
        return None


def _one(shape: Shape, dtype: Any) -> keras.KerasTensor:
    """Returns a symbolic tensor of one sample."""
    return keras.KerasTensor((shape[0] or 1, *shape[1:]) if shape else (), dtype)


def _filled(node: Node, values: dict[int, Any]) -> tuple[tuple, dict[str, Any]]:
    return keras.tree.map_structure(
        lambda argument: values.get(id(argument), argument),
        (node.call_args, dict(node.call_kwargs)),
    )
