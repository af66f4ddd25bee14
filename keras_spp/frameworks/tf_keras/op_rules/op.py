"""The rule of TensorFlow functions called on Keras tensors, which are TFOpLambda layers.

The rule of the function is looked up by its name; a function without one is tried out.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import tensorflow as tf

# Importing these registers their rules.
import keras_spp.frameworks.tf_keras.op_rules.moves
import keras_spp.frameworks.tf_keras.op_rules.slices  # noqa: F401
from keras_spp.core.call import Call, Refused, tensors_in
from keras_spp.core.channels import Reason, Tensor
from keras_spp.core.common_rules import followed
from keras_spp.core.rule import rule
from keras_spp.frameworks.tensorflow.sizes import deferred
from keras_spp.frameworks.tf_keras.op_rules.arithmetic import POSITIONWISE
from keras_spp.frameworks.tf_keras.op_rules.brackets import getitem
from keras_spp.frameworks.tf_keras.op_rules.registry import FUNCTIONS
from keras_spp.frameworks.tf_keras.private import SlicingOpLambda, TFOpLambda
from keras_spp.rules.functions import positionwise

UNARY = frozenset({
    "cast", "compat.v1.nn.leaky_relu", "convert_to_tensor", "identity", "math.abs",
    "math.ceil", "math.cos", "math.erf", "math.exp", "math.floor", "math.log", "math.log1p",
    "math.negative", "math.reciprocal", "math.round", "math.rsqrt", "math.sigmoid",
    "math.sign", "math.sin", "math.softplus", "math.sqrt", "math.square", "math.tanh", "nn.elu",
    "nn.gelu", "nn.leaky_relu", "nn.relu", "nn.relu6", "nn.selu", "nn.sigmoid", "nn.silu",
    "nn.softplus", "nn.softsign", "nn.swish", "nn.tanh", "ones_like", "stop_gradient",
    "zeros_like",
})  # fmt: skip
SIZES = frozenset({"compat.v1.shape", "compat.v1.size", "rank", "shape", "size"})
# They mix channels only where the norm is large, which a trial does not show.
MIXING = frozenset({"clip_by_norm", "compat.v1.clip_by_average_norm", "clip_by_global_norm"})


@rule(TFOpLambda, SlicingOpLambda)
def op(call: Call, *args: Any, **kwargs: Any) -> Any:
    """Applies the rule of a function; tries it out if it has none, or if the rule refuses."""
    name = call.layer.get_config()["function"]
    flat = tf.nest.flatten((args, kwargs))
    for value in flat:
        if isinstance(value, tf.Variable):
            call.channels.give_to_function(call.layer, value)
    tensors = [value for value in flat if isinstance(value, Tensor)]
    sizes = [x for x in tensors if x.made_of is not None]
    compute = getitem if isinstance(call.layer, SlicingOpLambda) else call.layer.function
    if name in SIZES or (sizes and len(sizes) == len(tensors)):
        return deferred(call, compute, args, kwargs)
    labelled = tensors_in(args, kwargs)
    if sizes:  # a trial shows what the function does with them
        labels = followed(call, [compute], args, kwargs)
        if not isinstance(labels, Reason):
            return labels
        if any(x.counts_channels() for x in sizes):
            return call.opaque(labelled, labels)
    plain = not any(map(_is_array, (*args[1:], *kwargs.values())))
    if name in UNARY and plain and len(labelled) == 1 and args and labelled[0] is args[0]:
        return labelled[0].labels
    if name in MIXING:
        return call.opaque(labelled, Reason.MIXES)
    edits = len(call.channels.edits)
    try:
        return _by_rule(call, name, args, kwargs)
    except Exception as error:  # a form of the arguments that the rule does not cover
        if len(call.channels.edits) > edits:
            raise
        call.channels.leave_to_measure(call.layer)
        labels = followed(call, [compute], args, kwargs)
        if not isinstance(labels, Reason):
            return labels
        if isinstance(error, Refused):
            return call.opaque(labelled, labels if labels is Reason.MIXES else error.reason)
        if labels is Reason.FUNCTION:
            raise
        return call.opaque(labelled, labels)


def _by_rule(call: Call, name: str, args: tuple, kwargs: dict[str, Any]) -> Any:
    if name in POSITIONWISE and kwargs.get("data_format") in (None, "NHWC"):
        names = [*range(len(args)), *kwargs]
        return positionwise(call, dict(zip(names, [*args, *kwargs.values()], strict=True)))
    body = FUNCTIONS.get(name)
    if body is None:
        raise Refused(Reason.FUNCTION)
    # "#" lets `rebuild` find each argument in the call: by position or by name.
    bound = inspect.signature(call.layer.function).bind(*args, **kwargs).arguments
    arguments = {**bound, "#": {name: i for i, name in enumerate(bound) if i < len(args)}}
    return body(call, arguments)


def _is_array(value: Any) -> bool:
    return isinstance(value, list | tuple | np.ndarray) or bool(np.ndim(value))
