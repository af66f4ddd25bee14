"""Rules of layers that act on each element by itself, and of activations inside other layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from keras_spp.core.call import Call
from keras_spp.core.channels import Labels, Reason, Tensor
from keras_spp.core.common_rules import tried
from keras_spp.core.kinds import is_a
from keras_spp.core.rule import find, keras_rule

ELEMENTWISE = frozenset({
    "celu", "elu", "exponential", "gelu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_tanh",
    "leaky_relu", "linear", "log_sigmoid", "mish", "relu", "relu6", "selu", "sigmoid", "silu",
    "soft_shrink", "softplus", "softsign", "sparse_plus", "sparse_sigmoid", "squareplus", "swish",
    "tanh", "tanh_shrink", "threshold",
})  # fmt: skip
_UNITS, _PIXELS = 8, 4  # to try an activation on


def why_not_elementwise(call: Call, function: Any) -> Reason | None:
    """Returns why an activation does not act on each unit alone; None if it does.

    It is recognised by name, or tried on a few units.
    """
    if is_elementwise(function):
        return None
    units = np.arange(_UNITS)
    x = Tensor(units[None], (None, _UNITS))
    followed = call.framework.follow(_functions(call, function), (x,), {}, [x])
    if isinstance(followed, Reason):
        return followed
    (place,) = followed.places
    same = place is not None and np.array_equal(place[1], units)
    return None if same else Reason.FUNCTION


def is_elementwise(function: Any) -> bool:
    """Tells whether an activation acts on each element alone, by its name."""
    if is_a(function, "Layer"):
        return find(type(function)) is same
    return function is None or (
        getattr(function, "__name__", "") in ELEMENTWISE
        and getattr(function, "__module__", "").startswith(("keras.", "tf_keras.", "tensorflow."))
    )


def _functions(call: Call, function: Any) -> list[Callable[..., Any]]:
    """Returns the functions that an activation computes: itself, or those of a weightless layer."""
    if not is_a(function, "Layer"):
        return [function]
    return [] if function.weights else call.framework.as_functions(function)


def activated(call: Call, labels: Labels) -> Labels | list[Labels]:
    """Returns the labels of what a layer's own activation returns."""
    function = call.layer.activation
    if is_elementwise(function):
        return labels
    # A small picture shows the same as a large one, and is faster.
    shape = [
        along if along > 1 else size and min(size, _PIXELS)
        for along, size in zip(labels.shape, call.shapes[0], strict=True)
    ]
    x = Tensor(labels, (call.shapes[0][0], *shape[1:]), call.layer.compute_dtype)
    return tried(call, _functions(call, function), (x,), {})


@keras_rule(
    "ReLU", "LeakyReLU", "ELU", "ThresholdedReLU", "Dropout", "SpatialDropout1D",
    "SpatialDropout2D", "SpatialDropout3D", "GaussianDropout", "GaussianNoise", "AlphaDropout",
    "ActivityRegularization", "Identity",
)  # fmt: skip
def same(call: Call, x: Tensor, **_: Any) -> Labels:
    """Keeps the channels: every element is computed by itself."""
    noise_shape = getattr(call.layer, "noise_shape", None)
    if noise_shape is not None and any(size not in (1, None) for size in noise_shape[1:]):
        call.freeze(x.labels, Reason.SHAPE)
    if np.ndim(getattr(call.layer, "stddev", 0)):
        call.freeze(x.labels, Reason.HELD)
    return x.labels


@keras_rule("Activation")
def activation(call: Call, x: Tensor, **_: Any) -> Labels | list[Labels]:
    """Keeps the channels unless the function is a softmax or cannot be followed."""
    return activated(call, x.labels)
