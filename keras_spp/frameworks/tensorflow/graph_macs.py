"""Multiply-accumulates of TensorFlow's operations, which tell what layers without a rule cost."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_spp.frameworks.tensorflow.private import called_graph


def graph_macs(graph: Any) -> int:
    """Counts the multiply-accumulates of a graph, with those of the functions that it calls."""
    return sum(map(_operation_macs, graph.get_operations()))


def _operation_macs(operation: Any) -> int:
    """Counts the elements of an operation's result times the products that each of them sums."""
    if operation.type in ("PartitionedCall", "StatefulPartitionedCall"):
        # Grouped convolutions are functions of their own, which XLA compiles.
        return graph_macs(called_graph(operation))
    if operation.type == "Einsum":
        return _einsum_macs(operation)
    if operation.type in ("Conv2DBackpropInput", "Conv3DBackpropInputV2"):  # transposed
        _, kernel, inputs = operation.inputs
        return int(np.prod([*inputs.shape[:-1], *kernel.shape], dtype=np.int64))
    if operation.type in ("Conv2D", "Conv3D"):
        summed = operation.inputs[1].shape[:-1]
    elif operation.type == "DepthwiseConv2dNative":
        summed = operation.inputs[1].shape[:2]
    elif operation.type == "MatMul":
        summed = [operation.inputs[0].shape[0 if operation.get_attr("transpose_a") else 1]]
    elif operation.type.startswith("BatchMatMul"):
        summed = [operation.inputs[0].shape[-2 if operation.get_attr("adj_x") else -1]]
    else:
        return 0
    sizes = [*operation.outputs[0].shape, *summed]
    return int(np.prod([size or 1 for size in sizes], dtype=np.int64))


def _einsum_macs(operation: Any) -> int:
    """Counts the combinations of an einsum's indices: each of them is one product."""
    terms = operation.get_attr("equation").decode().split("->")[0].split(",")
    sizes: dict[str, int] = {}
    for term, tensor in zip(terms, operation.inputs, strict=True):
        head, ellipsis, tail = term.partition("...")
        shape = tensor.shape.as_list()
        hidden = len(shape) - len(head) - len(tail)
        names = [*head, *(f"...{i}" for i in range(hidden if ellipsis else 0)), *tail]
        for name, size in zip(names, shape, strict=True):
            sizes[name] = max(sizes.get(name, 1), size or 1)
    return int(np.prod(list(sizes.values()), dtype=np.int64))
