"""The interface of rules to a framework (`keras_spp.core.call.Framework`) for Keras 3."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_spp.core.call import Followed
from keras_spp.core.channels import Reason, Tensor
from keras_spp.frameworks.keras3 import private
from keras_spp.frameworks.keras3.clone import read_config
from keras_spp.frameworks.keras3.graph import is_function
from keras_spp.frameworks.keras3.variables import weight_path

__all__ = ["as_functions", "asks_for_mask", "config", "follow", "takes_sizes", "weight_path"]

# Activations of Keras' own that read all channels of a position.
_MIXING = frozenset({"glu", "log_softmax", "softmax", "sparsemax"})


def follow(
    functions: Sequence[Callable[..., Any]],
    args: tuple,
    kwargs: dict[str, Any],
    operands: Sequence[Tensor],
) -> Followed | Reason:
    """Tells that a function cannot be followed: for Keras 3 none is tried out yet."""
    names = {getattr(function, "__name__", "") for function in functions}
    return Reason.MIXES if names and names <= _MIXING else Reason.FUNCTION


def as_functions(layer: keras.layers.Layer) -> list[Callable[..., Any]]:
    """Returns no functions: there would be nothing to try them with."""
    return []


def config(layer: Any) -> dict[str, Any]:
    """Returns a layer's config without the objects that Keras may not read back."""
    return read_config(layer)[0]


def takes_sizes(layer: Any) -> bool:
    """Tells that no rule handles tensors made of sizes: in Keras 3 these are plain numbers."""
    return False


def asks_for_mask(layer: Any) -> bool:
    """Tells whether a mask that a layer makes reaches, or may reach, one that uses it."""
    for consumer in private.consumers(layer):
        if is_function(consumer):  # drops the mask
            continue
        if private.expects_mask(consumer) or isinstance(consumer, keras.Model):
            return True
        if consumer.supports_masking and asks_for_mask(consumer):
            return True
    return False
