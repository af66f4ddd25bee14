"""The registry of rules, which say how labels pass through each kind of layer, by the MRO.

A rule receives a `Call` and the labelled tensors that the layer was called with, tells the call
which variables read, write or follow which channels, and returns the labels of the outputs.
A layer without a rule is tried out if it has no weights; if it has some, its inputs and outputs
are frozen. Your own layer needs a few lines:

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
from collections.abc import Callable
from typing import Any

from keras_spp.core.call import Call, labelled, tensors_in
from keras_spp.core.channels import Labels, Reason, Tensor
from keras_spp.core.common_rules import tried_layer
from keras_spp.core.kinds import is_subclass, known_name
from keras_spp.util.messages import first_line

Rule = Callable[..., Any]
_REGISTRY: dict[type | str, Rule] = {}  # rules of Keras' own classes by `known_name`


def rule(*classes: type) -> Callable[[Rule], Rule]:
    """Registers a rule for layer classes and their subclasses.

    Args:
        *classes: Layer classes of tf_keras or Keras 3.

    Returns:
        A decorator for ``rule(call, *tensors)``; see the module's documentation.

    Raises:
        TypeError: If something that is not a layer class is given.
    """
    for kind in classes:
        if not (inspect.isclass(kind) and is_subclass(kind, "Layer")):
            raise TypeError(f"rule: expected Keras layer classes, received {kind!r}.")

    return _registered(classes)


def keras_rule(*names: str) -> Callable[[Rule], Rule]:
    """Registers a rule for Keras' own classes, by their names, and for their subclasses.

    Those of KerasHub have `keras_hub.` in front of their names. The rule does not apply to a class
    of anyone else that has one of these names.
    """
    return _registered(names)


def _registered(keys: tuple[type | str, ...]) -> Callable[[Rule], Rule]:
    def register(function: Rule) -> Rule:
        _REGISTRY.update(dict.fromkeys(keys, function))
        return function

    return register


def apply(call: Call, args: tuple, kwargs: dict) -> list[Tensor]:
    """Applies the rule of a layer's class; freezes inputs and outputs if they cannot be followed.

    Args:
        call: The call of the layer.
        args: Its arguments, `Tensor`s in place of tensors.
        kwargs: Its keyword arguments.

    Returns:
        The labelled outputs.
    """
    return apply_function(_labels, call, args, kwargs)


def apply_function(
    function: Callable[[Call, tuple, dict], Any], call: Call, args: tuple, kwargs: dict
) -> list[Tensor]:
    """Does the same with a function of (call, args, kwargs) in place of a layer's rule."""
    try:
        return _outputs(call, function(call, args, kwargs))
    except Exception as error:  # whatever a rule raises: some are the user's
        call.channels.fail(call.layer, f"{type(error).__name__}: {first_line(error)}")
        return _outputs(call, call.opaque(tensors_in(args, kwargs), Reason.FAILED))


def _labels(call: Call, args: tuple, kwargs: dict) -> Any:
    counting = any(x.counts_channels() for x in labelled((args, kwargs)))
    if counting and not call.framework.takes_sizes(call.layer):
        return call.opaque(tensors_in(args, kwargs), Reason.SHAPE)
    function = find(type(call.layer))
    if function is not None:
        return function(call, *args, **kwargs)
    call.channels.leave_to_measure(call.layer)
    return _without_rule(call, args, kwargs)


def _outputs(call: Call, labels: Any) -> list[Tensor]:
    """Returns the labels that a rule returned as tensors of the outputs' shapes."""
    labels = labels if isinstance(labels, list) else [labels]
    tensors = []
    for result, shape, dtype in zip(labels, call.shapes, call.dtypes, strict=True):
        tensor = result if isinstance(result, Tensor) else Tensor(result, shape, dtype)
        sizes = tensor.labels.shape
        if len(sizes) != len(shape) or any(
            along not in (1, size) for along, size in zip(sizes, shape, strict=True)
        ):
            raise ValueError(f"labels of shape {sizes} for an output of shape {shape}")
        tensors.append(tensor)
    return tensors


def _without_rule(call: Call, args: tuple, kwargs: dict) -> list[Labels]:
    """Tries out a layer without weights; freezes inputs and outputs of one that has some."""
    if call.layer.weights:
        return call.opaque(tensors_in(args, kwargs), Reason.UNKNOWN)
    return tried_layer(call, args, kwargs)


# Names that a subclass may define and still have the rule of its ancestor.
_HARMLESS = frozenset({
    "__abstractmethods__", "__annotations__", "__dict__", "__doc__", "__firstlineno__", "__init__",
    "__module__", "__orig_bases__", "__parameters__", "__slots__", "__static_attributes__",
    "__type_params__", "__weakref__", "_abc_impl",
    "_keras_api_names", "_keras_api_names_v1", "compute_output_shape", "from_config",
    "get_config", "get_prunable_weights",
})  # fmt: skip


def find(kind: type) -> Rule | None:
    """Returns the rule of a class: its own or the nearest ancestor's whose forward pass it keeps.

    Args:
        kind: A layer class; one of Keras' own has the rule that was registered by its name.

    Returns:
        The rule, None if there is none or if the class replaces a part of that ancestor.
    """
    for number, ancestor in enumerate(kind.__mro__):
        function = _REGISTRY.get(ancestor) or _REGISTRY.get(known_name(ancestor) or "")
        if function is not None:
            # A subclass that replaces any part (weight standardisation in convolution_op, another
            # weight in build) may do what the ancestor's rule does not cover.
            replaced = {name for part in kind.__mro__[:number] for name in vars(part)}
            changed = any(hasattr(ancestor, name) for name in replaced - _HARMLESS)
            return None if changed else function
    return None
