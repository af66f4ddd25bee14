"""Rules of functions that compute: on each element, between tensors, over axes, in windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_spp.core.call import Call, Refused, tensors_in
from keras_spp.core.channels import Argument, Labels, Reason, Tensor
from keras_spp.core.common_rules import merged, shape_of
from keras_spp.core.kinds import own_name
from keras_spp.frameworks.keras3.bias_axis import keep_axis
from keras_spp.frameworks.keras3.op_rules.registry import channel_axis, operation_rule
from keras_spp.rules import functions
from keras_spp.rules.channelwise import mixes
from keras_spp.rules.kernels import fold


@operation_rule(
    "Abs", "Absolute", "Arccos", "Arccosh", "Arcsin", "Arcsinh", "Arctan", "Arctanh", "Array",
    "BitwiseInvert", "BitwiseNot", "Cast", "Cbrt", "Ceil", "Celu", "Clip", "Copy", "Cos", "Cosh",
    "Deg2rad", "Elu", "Erf", "Erfc", "Erfinv", "Exp", "Exp2", "Expm1", "Fabs", "Floor", "Gelu",
    "HardShrink", "HardSigmoid", "HardSilu", "HardTanh", "I0", "Isfinite", "Isinf", "Isnan",
    "Isneginf", "Isposinf", "LeakyRelu", "Log", "Log10", "Log1p", "Log2", "LogSigmoid",
    "LogicalNot", "NanToNum", "Negative", "OnesLike", "Rad2deg", "Reciprocal", "Relu", "Relu6",
    "Round", "Rsqrt", "SaturateCast", "Selu", "Sigmoid", "Sign", "Signbit", "Silu", "Sin", "Sinc",
    "Sinh", "SoftShrink", "Softplus", "Softsign", "SparsePlus", "SparseSigmoid", "Sqrt", "Square",
    "Squareplus", "StopGradient", "Tan", "Tanh", "TanhShrink", "Threshold", "Trunc", "ZerosLike",
)  # fmt: skip
def unary(call: Call, x: Any) -> Labels:
    """Keeps the channels: every element is computed by itself; cuts bounds of each channel."""
    if not isinstance(x, Tensor) or len(call.shapes[0]) != len(x.shape):
        raise Refused(Reason.SHAPE)
    for name, value in vars(call.layer).items():
        if name.startswith("_") or not np.ndim(value):
            continue
        for axis in x.varying:
            at = axis - len(x.shape)  # arrays broadcast from the right
            if np.ndim(value) >= -at and np.shape(value)[at] > 1:
                call.resize(
                    name,
                    [call.vector(x, axis)],
                    lambda keep, value=value, at=at: np.compress(keep, np.asarray(value), axis=at),
                )
    return x.labels


@operation_rule(
    "Add", "Arctan2", "BitwiseAnd", "BitwiseLeftShift", "BitwiseOr", "BitwiseRightShift",
    "BitwiseXor", "Divide", "DivideNoNan", "Equal", "FloorDivide", "Fmax", "Fmin", "Fmod",
    "FullLike", "Gcd", "Greater", "GreaterEqual", "Heaviside", "Hypot", "Isclose", "Lcm", "Ldexp",
    "LeftShift", "Less", "LessEqual", "Logaddexp", "Logaddexp2", "LogicalAnd", "LogicalOr",
    "LogicalXor", "Maximum", "Minimum", "Mod", "Multiply", "Nextafter", "NotEqual", "Power",
    "RightShift", "Subtract", "TrueDivide", "Where",
)  # fmt: skip
def positionwise(call: Call, *args: Any, **kwargs: Any) -> Any:
    """Merges tensors and constants, which may hold one value per channel."""
    operands: dict[str | int, Any] = dict(enumerate(args))
    operands.update(kwargs)
    axes = {axis - len(x.shape) for x in tensors_in(args, kwargs) for axis in x.varying}
    for value in operands.values():
        # A layer's own variable, which a constant cannot replace.
        if isinstance(value, keras.Variable) and any(
            len(value.shape) >= -axis and value.shape[axis] > 1 for axis in axes
        ):
            raise Refused(Reason.SHARED)
    if own_name(type(call.layer)) == "Add":
        _keep_axis(call, *args)
    return functions.positionwise(call, operands)


def _keep_axis(call: Call, x1: Any, x2: Any) -> None:
    shape, added = shape_of(x1), shape_of(x2)
    for x in (x1, x2):
        for axis in x.varying if isinstance(x, Tensor) and len(added) <= len(shape) else []:
            place = axis - len(x.shape)
            keep_axis(call.channels, call.layer, call.vector(x, axis), place, shape, added)


@operation_rule("Select")
def select(call: Call, condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Any:
    """Merges the choices and what decides between them."""
    operands = [*condlist, *choicelist, default]
    if any(np.ndim(value) for value in operands if not isinstance(value, Tensor)):
        raise Refused(Reason.SHAPE)
    return functions.positionwise(call, dict(enumerate(operands)))


@operation_rule(
    "All", "Amax", "Amin", "Any", "Argmax", "Argmin", "Logsumexp", "Max", "Mean", "Median", "Min",
    "Nanmax", "Nanmean", "Nanmedian", "Nanmin", "Nanprod", "Nanstd", "Nansum", "Nanvar", "Norm",
    "Prod", "Ptp", "Std", "Sum", "Var",
)  # fmt: skip
def reduce(call: Call, x: Tensor) -> Labels:
    """Keeps the channels of a reduction over space; refuses one over channels."""
    return functions.reduced(x, call.layer.axis, call.layer.keepdims)


@operation_rule("Percentile", "Quantile")
def quantile(call: Call, x: Tensor, q: Any) -> Labels:
    """Keeps the channels of one quantile over space; refuses one over channels."""
    if isinstance(q, Tensor) or np.ndim(q):  # several make an axis of their own
        raise Refused(Reason.SHAPE)
    return functions.reduced(x, call.layer.axis, call.layer.keepdims)


@operation_rule("Moments")
def moments(call: Call, x: Tensor) -> list[Labels]:
    """Keeps the channels of a mean and a variance over space; refuses those over channels."""
    return [functions.reduced(x, call.layer.axes, call.layer.keepdims)] * 2


@operation_rule("LayerNorm", "RMSNorm")
def over_channels(call: Call, x: Tensor, *_: Any, **__: Any) -> Labels:
    """Freezes the channels: each depends on the others."""
    raise Refused(Reason.MIXES)


@operation_rule("BatchNorm")
def batch_norm(call: Call, x: Any, *args: Any, **kwargs: Any) -> Labels:
    """Cuts statistics, a scale and an offset that are constants."""
    places: list[tuple[int | str, Any]] = [*enumerate(args, 1), *kwargs.items()]
    given = {place: value for place, value in places if value is not None}
    if not isinstance(x, Tensor) or any(
        isinstance(value, Tensor | keras.Variable) for value in given.values()
    ):
        raise Refused(Reason.SHAPE)
    labels = call.vector(x, call.layer.axis)
    for place, value in given.items():
        call.resize(
            Argument(place), [labels], lambda keep, value=value: np.asarray(value)[..., keep]
        )
    return call.place(labels, call.layer.axis)


@operation_rule("Glu")
def gated(call: Call, x: Tensor) -> Labels:
    """Ties each channel of the first half to the one of the second half that is its gate."""
    axis = call.layer.axis % len(x.shape)
    if axis not in x.varying:
        if mixes(x, axis):
            raise Refused(Reason.MIXES)
        return x.labels
    return call.place(fold(call, call.vector(x, axis), 2), axis)


@operation_rule("TopK")
def largest(call: Call, x: Tensor) -> list[Labels]:
    """Keeps the channels if the last axis is not theirs."""
    if mixes(x, -1):
        raise Refused(Reason.MIXES)
    return [x.labels] * 2


@operation_rule("TakeAlongAxis")
def taken_along(call: Call, x: Any, indices: Any) -> Labels | list[Labels]:
    """Merges values and their indices along an axis of space; refuses one of channels."""
    axis, operands = call.layer.axis, [x, indices]
    if (
        axis is None
        or not all(isinstance(value, Tensor) for value in operands)
        or any(mixes(value, axis) for value in operands)
    ):
        raise Refused(Reason.MIXES)
    return merged(call, operands)


@operation_rule("Tril", "Triu")
def triangle(call: Call, x: Tensor) -> Labels:
    """Keeps the channels if none of the last two axes is theirs."""
    if mixes(x, (-2, -1)):
        raise Refused(Reason.SHAPE)
    return x.labels


@operation_rule(
    "Argsort", "Cumprod", "Cumsum", "Diff", "LogSoftmax", "Nancumprod", "Nancumsum", "Normalize",
    "Softmax", "Sort", "Sparsemax",
)  # fmt: skip
def along(call: Call, x: Tensor) -> Labels:
    """Keeps the channels of what is computed along an axis of space; refuses one of channels."""
    axis = call.layer.axis
    if axis is None or mixes(x, list(np.ravel(axis))):
        raise Refused(Reason.MIXES)
    return x.labels


@operation_rule(
    "AdaptiveAveragePool", "AdaptiveMaxPool", "AveragePool", "CropImages", "MaxPool", "PadImages",
    "Resize",
)  # fmt: skip
def in_space(call: Call, x: Tensor) -> Labels:
    """Keeps the channels: each one is computed by itself, in space."""
    axis = channel_axis(call)
    if set(x.varying) - {axis % len(x.shape)}:  # channels where the function expects space
        raise Refused(Reason.SHAPE)
    return call.place(call.vector(x, axis), axis)
