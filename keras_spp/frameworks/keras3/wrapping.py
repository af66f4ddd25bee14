"""Putting pruning wrappers around the layers of a Keras 3 model."""

from __future__ import annotations

from keras_spp.frameworks.keras3.clone import clone
from keras_spp.frameworks.keras3.graph import layers
from keras_spp.frameworks.keras3.rebuilding import copy_weights, rebuild
from keras_spp.frameworks.keras3.variables import read
from keras_spp.frameworks.keras3.wrapper import PruneSPP
from keras_spp.frameworks.wrapping import Wrapping

WRAPPING = Wrapping(layers, clone, rebuild, copy_weights, PruneSPP, read)
