"""Rules of functions that compute: on each element, between tensors, over axes, in windows."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_spp.core.call import Call, Refused, tensors_in
from keras_spp.core.channels import Labels, Reason, Tensor
from keras_spp.frameworks.keras3.op_rules.registry import channel_axis, operation_rule
from keras_spp.rules import functions
from keras_spp.rules.channelwise import mixes


@operation_rule(
    "Abs", "Absolute", "Arccos", "Arccosh", "Arcsin", "Arcsinh", "Arctan", "Arctanh", "Cast",
    "Cbrt", "Ceil", "Celu", "Clip", "Copy", "Cos", "Cosh", "Deg2rad", "Elu", "Erf", "Erfc",
    "Erfinv", "Exp", "Exp2", "Expm1", "Fabs", "Floor", "Gelu", "HardShrink", "HardSigmoid",
    "HardSilu", "HardTanh", "I0", "Isfinite", "Isinf", "Isnan", "Isneginf", "Isposinf",
    "LeakyRelu", "Log", "Log10", "Log1p", "Log2", "LogSigmoid", "LogicalNot", "NanToNum",
    "Negative", "OnesLike", "Rad2deg", "Reciprocal", "Relu", "Relu6", "Round", "Rsqrt",
    "SaturateCast", "Selu", "Sigmoid", "Sign", "Signbit", "Silu", "Sin", "Sinc", "Sinh",
    "SoftShrink", "Softplus", "Softsign", "SparsePlus", "SparseSigmoid", "Sqrt", "Square",
    "Squareplus", "StopGradient", "Tan", "TanhShrink", "Tanh", "Threshold", "Trunc", "ZerosLike",
)  # fmt: skip
def unary(call: Call, x: Any) -> Labels:
    """Keeps the channels: every element is computed by itself."""
    constants = [value for name, value in vars(call.layer).items() if not name.startswith("_")]
    if not isinstance(x, Tensor) or any(map(np.ndim, constants)):
        raise Refused(Reason.HELD)  # bounds of each channel, say
    if len(call.shapes[0]) != len(x.shape):
        raise Refused(Reason.SHAPE)
    return x.labels


@operation_rule(
    "Add", "Arctan2", "Divide", "DivideNoNan", "Equal", "FloorDivide", "Fmax", "Fmin", "Fmod",
    "Greater", "GreaterEqual", "Hypot", "Isclose", "Less", "LessEqual", "Logaddexp", "Logaddexp2",
    "LogicalAnd", "LogicalOr", "LogicalXor", "Maximum", "Minimum", "Mod", "Multiply", "NotEqual",
    "Power", "Subtract", "TrueDivide", "Where",
)  # fmt: skip
def positionwise(call: Call, *args: Any, **kwargs: Any) -> Any:
    """Merges tensors and constants, which may hold one value per channel."""
    operands: dict[str | int, Any] = dict(enumerate(args))
    operands.update(kwargs)
    return functions.positionwise(call, operands)


@operation_rule(
    "All", "Amax", "Amin", "Any", "Logsumexp", "Max", "Mean", "Median", "Min", "Nanmax", "Nanmean",
    "Nanmedian", "Nanmin", "Nanprod", "Nanstd", "Nansum", "Nanvar", "Norm", "Prod", "Ptp", "Std",
    "Sum", "Var",
)  # fmt: skip
def reduce(call: Call, x: Tensor) -> Labels:
    """Keeps the channels of a reduction over space; refuses one over channels."""
    return functions.reduced(x, call.layer.axis, call.layer.keepdims)


@operation_rule("LogSoftmax", "Normalize", "Softmax", "Sparsemax")
def normalised(call: Call, x: Tensor) -> Labels:
    """Keeps the channels of a normalisation over space; refuses one over channels."""
    axis = call.layer.axis
    if axis is None or mixes(x, list(np.ravel(axis))):
        raise Refused(Reason.MIXES)
    return x.labels


@operation_rule("AdaptiveAveragePool", "AdaptiveMaxPool", "AveragePool", "MaxPool", "Resize")
def in_space(call: Call, x: Tensor) -> Labels:
    """Keeps the channels: each one is computed by itself, in space."""
    axis = channel_axis(call)
    if set(x.varying) - {axis % len(x.shape)}:  # channels where the function expects space
        raise Refused(Reason.SHAPE)
    return call.place(call.vector(x, axis), axis)


@operation_rule("DotProductAttention", "Dot", "Einsum", "Inner", "Matmul", "Tensordot", "Vdot")
def product(call: Call, *args: Any, **kwargs: Any) -> list[Labels]:
    """Freezes what is multiplied: every element reads many channels."""
    call.channels.leave_to_measure(call.layer)
    return call.opaque(tensors_in(args, kwargs), Reason.MIXES)
