"""The multiply-accumulates of a function, as the backend that computes it counts them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras


def traced_macs(function: Callable[..., Any], samples: Sequence[keras.KerasTensor]) -> int:
    """Counts the multiply-accumulates of a function: its convolutions and products of matrices.

    Args:
        function: A function of tensors.
        samples: The shapes and types of these.
    """
    match keras.backend.backend():
        case "tensorflow":
            return _on_tensorflow(function, samples)
        case "jax":
            return _on_jax(function, samples)
        case _:
            return _on_torch(function, samples)


def _on_tensorflow(function: Callable[..., Any], samples: Sequence[Any]) -> int:
    import tensorflow as tf

    from keras_spp.frameworks.tensorflow.graph_macs import graph_macs

    specs = [tf.TensorSpec(x.shape, x.dtype) for x in samples]
    return graph_macs(tf.function(function, autograph=False).get_concrete_function(*specs).graph)


def _on_jax(function: Callable[..., Any], samples: Sequence[Any]) -> int:
    import jax

    specs = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in samples]
    return _jaxpr_macs(jax.make_jaxpr(function)(*specs).jaxpr)


def _jaxpr_macs(jaxpr: Any) -> int:
    total = 0
    for equation in jaxpr.eqns:
        outputs = math.prod(equation.outvars[0].aval.shape) if equation.outvars else 0
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            total += outputs * math.prod(shape[axis] for axis in contracted)
        elif equation.primitive.name == "conv_general_dilated":
            total += _convolution_macs(equation, outputs)
        times = equation.params.get("length", 1)  # of a scan
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)  # of a function that was compiled, say
            if hasattr(inner, "eqns"):
                total += times * _jaxpr_macs(inner)
    return total


def _convolution_macs(equation: Any, outputs: int) -> int:
    inputs, kernel = (operand.aval.shape for operand in equation.invars)
    numbers = equation.params["dimension_numbers"]
    if math.prod(equation.params["lhs_dilation"]) > 1:  # transposed: zeros between the inputs
        return math.prod(inputs) // inputs[numbers.lhs_spec[1]] * math.prod(kernel)
    return outputs * math.prod(kernel) // kernel[numbers.rhs_spec[0]]


def _on_torch(function: Callable[..., Any], samples: Sequence[Any]) -> int:
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    # Of attention in one piece it does not know how much that is.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        function(*(keras.ops.zeros(x.shape, x.dtype) for x in samples))
    return counter.get_total_flops() // 2
