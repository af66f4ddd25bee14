"""Channels that a network has lost without anyone having pruned them."""

from __future__ import annotations

from typing import Any

import numpy as np
import tf_keras as keras


def silent(model: keras.Model, data: Any) -> int:
    """How many channels of ReLUs are 0 for all data: no gradient brings them back.

    Looks at the layers of the model itself, not at those of models in it.
    """
    relus = [
        layer.get_output_at(node)
        for layer in model.layers
        for node in range(len(layer.inbound_nodes))
        if isinstance(layer, keras.layers.ReLU)
        or getattr(layer, "activation", None) is keras.activations.relu
    ]
    if not relus:
        return 0
    looked = keras.Model(model.inputs, [[each] for each in relus])
    largest = [np.zeros(relu.shape[-1]) for relu in relus]
    for inputs, _ in data:
        for number, (outputs,) in enumerate(looked(inputs, training=False)):
            found = np.max(outputs, axis=tuple(range(len(outputs.shape) - 1)))
            largest[number] = np.maximum(largest[number], found)
    return int(sum((each <= 0).sum() for each in largest))
