"""The Keras 3 adapter, as `keras_spp.frameworks.interface.Adapter` declares it."""

from keras_spp.frameworks.keras3.clone import clone
from keras_spp.frameworks.keras3.graph import layers, unwrap
from keras_spp.frameworks.keras3.models import check, is_graph_network
from keras_spp.frameworks.keras3.rebuilding import copy_weights, declare_inputs, rebuild
from keras_spp.frameworks.keras3.tracing import find_channels as label
from keras_spp.frameworks.keras3.tracing import is_frozen
from keras_spp.frameworks.keras3.variables import raw, read, write
