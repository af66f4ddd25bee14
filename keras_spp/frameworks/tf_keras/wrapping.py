"""Putting pruning wrappers around the layers of a tf_keras model."""

from __future__ import annotations

from keras_spp.frameworks.tf_keras.clone import clone_layer
from keras_spp.frameworks.tf_keras.graph import layers
from keras_spp.frameworks.tf_keras.rebuilding import copy_weights, rebuild
from keras_spp.frameworks.tf_keras.wrapper import PruneSPP
from keras_spp.frameworks.wrapping import Wrapping

WRAPPING = Wrapping(
    layers, clone_layer, rebuild, copy_weights, PruneSPP, lambda tensor: tensor.numpy()
)
