"""The rule of a function of `keras.ops` that is called on symbolic tensors, found in the table."""

from __future__ import annotations

from typing import Any

import keras

# Importing these registers their rules.
import keras_spp.frameworks.keras3.op_rules.arithmetic
import keras_spp.frameworks.keras3.op_rules.moves  # noqa: F401
from keras_spp.core.call import Call, Refused, tensors_in
from keras_spp.core.channels import Reason
from keras_spp.frameworks.keras3.op_rules.registry import find


def operation(call: Call, args: tuple, kwargs: dict[str, Any]) -> Any:
    """Returns the labels of what a function returns; frozen ones if it cannot be followed."""
    for value in keras.tree.flatten((args, kwargs)):
        if isinstance(value, keras.Variable):
            call.channels.give_to_function(call.layer, value)
    rule = find(type(call.layer))
    try:
        if rule is None:
            raise Refused(Reason.FUNCTION)
        return rule(call, *args, **kwargs)
    except Refused as refused:
        call.channels.leave_to_measure(call.layer)
        return call.opaque(tensors_in(args, kwargs), refused.reason)
