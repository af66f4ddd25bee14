"""The rule of a function of `keras.ops` that is called on symbolic tensors, found in the table."""

from __future__ import annotations

from typing import Any

import keras

# Importing these registers their rules.
import keras_spp.frameworks.keras3.op_rules.arithmetic
import keras_spp.frameworks.keras3.op_rules.moves
import keras_spp.frameworks.keras3.op_rules.products  # noqa: F401
from keras_spp.core.call import Call, Refused, tensors_in
from keras_spp.core.channels import Reason
from keras_spp.core.common_rules import followed
from keras_spp.frameworks.keras3.op_rules.registry import find


def operation(call: Call, args: tuple, kwargs: dict[str, Any]) -> Any:
    """Returns the labels of what a function returns: by its rule, by a trial, or frozen ones."""
    variables = [
        value for value in keras.tree.flatten((args, kwargs)) if isinstance(value, keras.Variable)
    ]
    for variable in variables:
        call.channels.give_to_function(call.layer, variable)
    rule, edits = find(type(call.layer)), len(call.channels.edits)
    try:
        if rule is None:
            raise Refused(Reason.FUNCTION)
        return rule(call, *args, **kwargs)
    except Refused as refused:
        reason = refused.reason
    call.channels.leave_to_measure(call.layer)
    if reason is not Reason.MIXES and not variables and len(call.channels.edits) == edits:
        labels = followed(call, [call.layer.call], args, kwargs)
        if not isinstance(labels, Reason):
            return labels
        reason = Reason.MIXES if labels is Reason.MIXES else reason
    return call.opaque(tensors_in(args, kwargs), reason)
