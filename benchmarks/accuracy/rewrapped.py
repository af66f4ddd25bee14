"""A pruned model whose wrappers are made anew, otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tf_keras as keras

from keras_spp.frameworks.tf_keras.clone import clone_layer
from keras_spp.frameworks.tf_keras.rebuilding import copy_weights, rebuild
from keras_spp.frameworks.tf_keras.wrapper import PruneSPP

Config = dict[str, Any]


def rewrapped(
    pruned: keras.Model,
    wrapper: type[PruneSPP] = PruneSPP,
    changed: Callable[[Config], Config] = lambda config: config,
) -> keras.Model:
    """Makes the wrappers of a pruned model, not trained yet, anew.

    Args:
        pruned: What `spp.prune` returned.
        wrapper: The class of the new wrappers.
        changed: Returns the config of a new wrapper from that of the old one.
    """

    def make_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
        if isinstance(layer, PruneSPP):
            return wrapper.from_config(changed(layer.get_config()))
        return clone_layer(layer)

    model = rebuild(pruned, make_layer)
    copy_weights(pruned, model)
    return model
