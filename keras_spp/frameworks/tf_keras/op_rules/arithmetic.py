"""Rules of TensorFlow functions that compute: between tensors, over axes, in windows."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_spp.core.call import Call, Refused, tensors_in
from keras_spp.core.channels import Reason
from keras_spp.core.common_rules import merged
from keras_spp.frameworks.tf_keras.op_rules.registry import Arguments, function
from keras_spp.rules.channelwise import mixes
from keras_spp.rules.functions import reduced

POSITIONWISE = frozenset({
    "__operators__.add", "clip_by_value", "compat.v1.div", "compat.v1.floor_div", "math.add",
    "math.divide", "math.divide_no_nan", "math.equal", "math.floordiv", "math.floormod",
    "math.greater", "math.greater_equal", "math.less", "math.less_equal", "math.maximum",
    "math.minimum",
    "math.mod", "math.multiply", "math.not_equal", "math.pow", "math.squared_difference",
    "math.subtract", "math.truediv", "nn.bias_add", "where",
})  # fmt: skip


@function(
    "math.reduce_mean", "math.reduce_sum", "math.reduce_max", "math.reduce_min",
    "math.reduce_variance", "math.reduce_std", "math.reduce_logsumexp", "math.reduce_prod",
    "math.reduce_any", "math.reduce_all",
)  # fmt: skip
def reduce(call: Call, arguments: Arguments) -> Any:
    """Keeps the channels of a reduction over space; refuses one over channels."""
    return reduced(
        arguments["input_tensor"], arguments.get("axis"), bool(arguments.get("keepdims"))
    )


@function("nn.softmax", "nn.log_softmax", "math.l2_normalize")
def normalised(call: Call, arguments: Arguments) -> Any:
    """Keeps the channels of a normalisation over space; refuses one over channels."""
    (x,) = tensors_in(arguments)
    axis = arguments.get("axis")
    if axis is None:  # the last one for a softmax, and all of them for a norm
        axis = -1 if "softmax" in call.layer.get_config()["function"] else range(len(x.shape))
    if mixes(x, list(np.ravel(axis))):
        raise Refused(Reason.MIXES)
    return x.labels


@function("math.add_n")
def add_n(call: Call, arguments: Arguments) -> Any:
    """Merges any number of tensors."""
    return merged(call, tensors_in(arguments["inputs"]))


@function(
    "nn.max_pool", "nn.max_pool1d", "nn.max_pool2d", "nn.max_pool3d", "nn.avg_pool",
    "nn.avg_pool1d", "nn.avg_pool2d", "nn.avg_pool3d", "compat.v1.nn.max_pool",
    "compat.v1.nn.avg_pool", "image.resize", "compat.v1.image.resize",
)  # fmt: skip
def in_space(call: Call, arguments: Arguments) -> Any:
    """Keeps the channels, unless the window reaches over channels too."""
    x, *_ = tensors_in(arguments)  # a size in pixels may be a tensor too
    windows = [np.ravel(arguments.get(name, 1)) for name in ("ksize", "strides")]
    deep = any(len(window) == len(x.shape) and window[-1] > 1 for window in windows)
    if deep or str(arguments.get("data_format") or "N").startswith("NC"):
        raise Refused(Reason.SHAPE)
    return call.place(call.vector(x))


@function("nn.dropout", "compat.v1.nn.dropout", "nn.experimental.stateless_dropout")
def dropout(call: Call, arguments: Arguments) -> Any:
    """Keeps the channels; refuses a noise shape of fixed sizes."""
    x, noise_shape = arguments["x"], arguments.get("noise_shape")
    if noise_shape is not None and any(size not in (1, None) for size in list(noise_shape)[1:]):
        raise Refused(Reason.SHAPE)
    return x.labels
