"""The registry of rules of TensorFlow functions that are called on Keras tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras_spp.core.call import Call
from keras_spp.core.channels import Argument

Arguments = dict[str, Any]  # and "#": the positions of positional ones
OpRule = Callable[[Call, Arguments], Any]
FUNCTIONS: dict[str, OpRule] = {}


def function(*names: str) -> Callable[[OpRule], OpRule]:
    """Registers the rule of a function under the names that TFOpLambda configs use."""

    def register(body: OpRule) -> OpRule:
        FUNCTIONS.update(dict.fromkeys(names, body))
        return body

    return register


def key(arguments: Arguments, name: str, entry: int | None = None) -> Argument:
    """Returns the place in the call of an argument, or an entry of it: a position or a name."""
    return Argument(arguments["#"].get(name, name), entry)
