"""Names the rule of each TensorFlow function that is called on Keras tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras_spp.core.call import Call
from keras_spp.core.channels import Argument

Arguments = dict[str, Any]  # plus "#": the positions of those given by position
OpRule = Callable[[Call, Arguments], Any]
FUNCTIONS: dict[str, OpRule] = {}


def function(*names: str) -> Callable[[OpRule], OpRule]:
    """Registers the rule of a function under the names that TFOpLambda configs use."""

    def register(body: OpRule) -> OpRule:
        FUNCTIONS.update(dict.fromkeys(names, body))
        return body

    return register


def key(arguments: Arguments, name: str, entry: int | None = None) -> Argument:
    """Returns where an argument, or an entry of it, stands in the call: by position or name."""
    return Argument(arguments["#"].get(name, name), entry)
