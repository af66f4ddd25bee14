"""The interface of rules to a framework (`keras_spp.core.call.Framework`) for Keras 3."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_spp.core.call import Followed
from keras_spp.core.channels import Reason, Tensor
from keras_spp.frameworks.keras3 import private
from keras_spp.frameworks.keras3.clone import clone, read_config
from keras_spp.frameworks.keras3.graph import is_function, unwrap
from keras_spp.frameworks.weight_path import weight_path

__all__ = ["as_functions", "asks_for_mask", "config", "follow", "takes_sizes", "weight_path"]

# Activations of Keras' own that read all channels of a position.
_MIXING = frozenset({"glu", "log_softmax", "softmax", "sparsemax"})


def follow(
    functions: Sequence[Callable[..., Any]],
    args: tuple,
    kwargs: dict[str, Any],
    operands: Sequence[Tensor],
) -> Followed | Reason:
    """Tries a function out, which only TensorFlow's graphs can tell enough of so far.

    Args:
        functions: What is called; all have to do the same. Without any nothing is followed.
        args: Its arguments, `Tensor`s in place of tensors.
        kwargs: Its keyword arguments.
        operands: The tensors whose channels may leave; some of these must have channels.

    Returns:
        How the results follow, or the reason why they do not.
    """
    if keras.backend.backend() == "tensorflow":
        from keras_spp.frameworks.tensorflow import trial

        return trial.follow(functions, args, kwargs, operands)
    names = {getattr(function, "__name__", "") for function in functions}
    return Reason.MIXES if names and names <= _MIXING else Reason.FUNCTION


def as_functions(layer: keras.layers.Layer) -> list[Callable[..., Any]]:
    """Returns what a layer without weights computes, as functions of inference and training.

    Returns:
        Calls of a copy; none if it depends on more than its arguments, such as a mask.

    Raises:
        ValueError: If the layer cannot be copied.
    """
    if private.expects_mask(layer):
        return []
    copy = clone(layer)
    if not private.expects_training(copy):
        return [copy]
    return [functools.partial(copy, training=training) for training in (False, True)]


def config(layer: Any) -> dict[str, Any]:
    """Returns a layer's config without the objects that Keras may not read back."""
    return read_config(layer)[0]


def takes_sizes(layer: Any) -> bool:
    """Tells that no rule handles tensors made of sizes: in Keras 3 these are plain numbers."""
    return False


def asks_for_mask(layer: Any) -> bool:
    """Tells whether a mask that a layer makes reaches, or may reach, one that uses it."""
    for called in private.consumers(layer):
        consumer = unwrap(called)
        if is_function(consumer):  # drops the mask
            continue
        if private.expects_mask(consumer) or isinstance(consumer, keras.Model):
            return True
        if consumer.supports_masking and asks_for_mask(called):
            return True
    return False
