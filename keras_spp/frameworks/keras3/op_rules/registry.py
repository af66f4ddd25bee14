"""The table of rules of Keras' functions, by the names of their classes.

A layer may have the same name (`Reshape`), so the rules of layers are another table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from keras_spp.core.call import Call
from keras_spp.core.kinds import own_name

OperationRule = Callable[..., Any]
_RULES: dict[str, OperationRule] = {}


def operation_rule(*names: str) -> Callable[[OperationRule], OperationRule]:
    """Registers the rule of functions, called as ``rule(call, *args, **kwargs)``."""

    def register(body: OperationRule) -> OperationRule:
        _RULES.update(dict.fromkeys(names, body))
        return body

    return register


def find(kind: type) -> OperationRule | None:
    """Returns the rule of one of Keras' own functions; a user's class may do anything."""
    return _RULES.get(own_name(kind) or "")


def channel_axis(call: Call) -> int:
    """Returns the axis of the channels under a function's data format, or under the global one."""
    chosen = getattr(call.layer, "data_format", None) or keras.config.image_data_format()
    return 1 if chosen == "channels_first" else -1
