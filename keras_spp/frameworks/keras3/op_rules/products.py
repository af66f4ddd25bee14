"""Rules of functions that multiply tensors, or a tensor with the kernel that they are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_spp.core.call import Call, Refused, tensors_in
from keras_spp.core.channels import Argument, Labels, Reason, Tensor
from keras_spp.core.common_rules import shape_of
from keras_spp.frameworks.keras3.op_rules.registry import channel_axis, operation_rule
from keras_spp.rules.products import are_apart, contracted

_STACKED = "ABCDEFGHIJKLMNOPQRSTUVW"  # names of axes that have none


@operation_rule("Einsum")
def einsum(call: Call, *operands: Any) -> Labels | list[Labels]:
    """Keeps the channels of an axis that the equation keeps; freezes those that it sums over."""
    equation = call.layer.subscripts.replace(" ", "")
    if "->" not in equation or any(letter in equation for letter in _STACKED):
        raise Refused(Reason.SHAPE)
    left, made = equation.split("->")
    terms = left.split(",")
    hidden = [
        len(shape_of(x)) - len(term.replace("...", "")) if "..." in term else 0
        for x, term in zip(operands, terms, strict=True)
    ]
    names = _STACKED[: max(hidden)]  # of what an ellipsis stands for, which broadcasts
    terms = [
        term.replace("...", names[len(names) - count :])
        for term, count in zip(terms, hidden, strict=True)
    ]
    return _products(call, operands, terms, made.replace("...", names))


@operation_rule("Matmul")
def matmul(call: Call, x1: Any, x2: Any) -> Labels | list[Labels]:
    """Keeps the rows of the first or the columns of the second; freezes what is summed over."""
    ranks = [len(shape_of(x)) for x in (x1, x2)]
    if min(ranks) < 2:
        raise Refused(Reason.SHAPE)
    names = _STACKED[: max(ranks) - 2]
    terms = [
        names[len(names) - (rank - 2) :] + last
        for rank, last in zip(ranks, ("xy", "yz"), strict=True)
    ]
    return _products(call, (x1, x2), terms, names + "xz")


@operation_rule("DotProductAttention")
def attention(
    call: Call, query: Any, key: Any, value: Any, *others: Any, **options: Any
) -> Labels | list[Labels]:
    """Keeps heads as wholes; freezes the channels of a head, which are compared."""
    heads = [isinstance(x, Tensor) and x.varying == [2] for x in (query, key, value)]
    if not all(heads) or tensors_in(others, options):  # what is added to the comparison
        raise Refused(Reason.MIXES)
    return _products(call, (query, key, value), ["bthc", "bshc", "bshc"], "bthc")


@operation_rule("DepthwiseConv")
def depthwise(call: Call, inputs: Any, kernel: Any) -> Labels:
    """Keeps the channels, of which each has its own part (..., in, multiplier) of a constant."""
    if not isinstance(inputs, Tensor) or isinstance(kernel, Tensor):
        raise Refused(Reason.MIXES)
    if isinstance(kernel, keras.Variable):
        raise Refused(Reason.SHARED)
    axis = channel_axis(call)
    labels, multiplier = call.vector(inputs, axis), np.shape(kernel)[-1]
    call.channels.leave_to_measure(call.layer, labels)
    call.resize(Argument(1), [labels], lambda keep: np.compress(keep, np.asarray(kernel), axis=-2))
    return call.place(np.repeat(labels, multiplier), axis)


@operation_rule("Conv", "ConvTranspose", "Dot", "Inner", "SeparableConv", "Tensordot", "Vdot")
def product(call: Call, *args: Any, **kwargs: Any) -> list[Labels]:
    """Freezes what is multiplied: every element reads many channels."""
    call.channels.leave_to_measure(call.layer)
    return call.opaque(tensors_in(args, kwargs), Reason.MIXES)


def _products(
    call: Call, operands: Sequence[Any], terms: Sequence[str], made: str
) -> Labels | list[Labels]:
    """Does what `contracted` does, but refuses products that it does not follow."""
    if any(isinstance(value, keras.Variable) for value in operands) or not are_apart(
        operands, terms, made
    ):
        raise Refused(Reason.MIXES)
    return contracted(call, operands, terms, made)
