"""How labels pass through each kind of layer: one small rule per layer, found along the MRO.

A rule receives a `Call` and the labelled tensors that the layer was called with, tells the call
which variables read, write or follow which channels, and returns the labels of the outputs.
A layer without a rule is tried if it has no weights, and freezes what goes in and what comes out
if it has some. Your own layer needs a few lines:

    >>> import keras_spp as spp, tf_keras as keras
    >>> class Scale(keras.layers.Layer):            # y = x * w, one weight per channel
    ...     def build(self, shape):
    ...         self.w = self.add_weight(name="w", shape=shape[-1:])
    ...     def call(self, x):
    ...         return x * self.w
    >>> @spp.rule(Scale)
    ... def scale(call, x):
    ...     call.follows(call.layer.w, 0, call.vector(x))
    ...     return x.labels
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import tf_keras as keras
from tf_keras.src.layers.core.tf_op_layer import TFOpLambda

from keras_spp.core.channels import Channels, Labels, Reason, Tensor
from keras_spp.frameworks.tf_keras.labelling import (
    Call,
    count,
    elementwise,
    merged,
    moved,
    tensors_in,
    tried_layer,
)
from keras_spp.frameworks.tf_keras.sizes import counts_channels, labelled
from keras_spp.util.messages import first_line

__all__ = [
    "Call", "Reason", "apply", "count", "elementwise", "find", "merged", "moved", "rule",
    "tensors_in",
]  # fmt: skip

L = keras.layers
Rule = Callable[..., Any]
_REGISTRY: dict[type, Rule] = {}


def rule(*classes: type) -> Callable[[Rule], Rule]:
    """Registers a rule for layer classes and their subclasses.

    Args:
        *classes: tf_keras layer classes.

    Returns:
        A decorator for ``rule(call, *tensors)``; see the module's documentation.

    Raises:
        TypeError: If something that is not a layer class is given.
    """
    for kind in classes:
        if not (inspect.isclass(kind) and issubclass(kind, L.Layer)):
            raise TypeError(f"rule: expected tf_keras layer classes, received {kind!r}.")

    def register(function: Rule) -> Rule:
        _REGISTRY.update(dict.fromkeys(classes, function))
        return function

    return register


def apply(
    channels: Channels,
    layer: Any,
    args: tuple,
    kwargs: dict,
    shapes: Sequence[tuple],
    dtypes: Sequence[Any],
) -> list[Tensor]:
    """Applies the rule of a layer's class, or freezes everything around what cannot be followed."""
    call = Call(channels, layer, shapes, dtypes)
    try:
        return _outputs(call, _labels(call, args, kwargs))
    except Exception as error:  # whatever a rule raises, of which some are the user's
        channels.fail(layer, f"{type(error).__name__}: {first_line(error)}")
        return _outputs(call, call.opaque(tensors_in(args, kwargs), Reason.FAILED))


def _labels(call: Call, args: tuple, kwargs: dict) -> Any:
    if any(map(counts_channels, labelled((args, kwargs)))) and not isinstance(
        call.layer, TFOpLambda
    ):
        return call.opaque(tensors_in(args, kwargs), Reason.SHAPE)
    found = find(type(call.layer))
    if found is not None:
        return found(call, *args, **kwargs)
    call.channels.leave_to_measure(call.layer)
    return _without_rule(call, args, kwargs)


def _outputs(call: Call, labels: Any) -> list[Tensor]:
    """What a rule has returned, as tensors of the outputs' shapes."""
    labels = labels if isinstance(labels, list) else [labels]
    tensors = []
    for given, shape, dtype in zip(labels, call.shapes, call.dtypes, strict=True):
        x = given if isinstance(given, Tensor) else Tensor(given, shape, dtype)
        sizes = x.labels.shape
        if len(sizes) != len(shape) or any(
            along not in (1, size) for along, size in zip(sizes, shape, strict=True)
        ):
            raise ValueError(f"labels of shape {sizes} for an output of shape {shape}")
        tensors.append(x)
    return tensors


def _without_rule(call: Call, args: tuple, kwargs: dict) -> list[Labels]:
    """A layer without weights is a function; one that has some may do anything with them."""
    if call.layer.weights:
        return call.opaque(tensors_in(args, kwargs), Reason.UNKNOWN)
    return tried_layer(call, args, kwargs)


# What a subclass may define and still be followed like its ancestor.
_HARMLESS = frozenset({
    "__abstractmethods__", "__annotations__", "__dict__", "__doc__", "__init__", "__module__",
    "__orig_bases__", "__parameters__", "__slots__", "__weakref__", "_abc_impl",
    "_keras_api_names", "_keras_api_names_v1", "compute_output_shape", "from_config",
    "get_config", "get_prunable_weights",
})  # fmt: skip


def find(kind: type) -> Rule | None:
    """The rule for a class: its own or the nearest ancestor's whose forward pass it keeps."""
    for number, ancestor in enumerate(kind.__mro__):
        if ancestor in _REGISTRY:
            # A subclass that replaces any part (weight standardisation in convolution_op, another
            # weight in build) may do what the ancestor's rule knows nothing of.
            replaced = {name for part in kind.__mro__[:number] for name in vars(part)}
            changed = any(hasattr(ancestor, name) for name in replaced - _HARMLESS)
            return None if changed else _REGISTRY[ancestor]
    return None
