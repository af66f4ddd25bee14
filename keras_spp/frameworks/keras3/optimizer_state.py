"""Optimizers of Keras 3: what they keep of each variable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_spp.frameworks.keras3 import private
from keras_spp.frameworks.moments import begin_anew


def is_known(optimizer: Any) -> bool:
    """Tells whether an optimizer is one of Keras 3."""
    return isinstance(optimizer, keras.optimizers.Optimizer)


def forget(model: Any, variables: Sequence[Any]) -> None:
    """Lets what a model's optimizer keeps of some variables begin anew, see `begin_anew`.

    Args:
        model: A model that is compiled with a known optimizer, whose step counter goes on.
        variables: The variables, of which averages begin with their present values.
    """
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    if not optimizer.built:
        return
    known = [variable for variable in variables if private.slots(optimizer, variable)]
    fresh = type(optimizer).from_config(optimizer.get_config())
    fresh.build(known)
    for variable in known:
        begin_anew(private.slots(optimizer, variable), private.slots(fresh, variable))
