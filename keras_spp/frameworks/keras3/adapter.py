"""The Keras 3 adapter: what `keras_spp.frameworks.interface.Adapter` declares."""

from typing import Any

from keras.tree import flatten, map_structure

from keras_spp.frameworks.convolution import convolved_by
from keras_spp.frameworks.keras3 import arrays, checkpoints
from keras_spp.frameworks.keras3 import optimizer_state as optimizers
from keras_spp.frameworks.keras3.adapted import require_unchanged
from keras_spp.frameworks.keras3.alone import alone, input_shapes
from keras_spp.frameworks.keras3.batch_statistics import BatchStatistics
from keras_spp.frameworks.keras3.channel_statistics import ChannelStatistics
from keras_spp.frameworks.keras3.clone import clone
from keras_spp.frameworks.keras3.derivatives import derivatives
from keras_spp.frameworks.keras3.distillation import distilled
from keras_spp.frameworks.keras3.distribution import (
    checksum,
    require_alike,
    require_copies,
    require_one_process,
)
from keras_spp.frameworks.keras3.graph import layers, operations, unwrap
from keras_spp.frameworks.keras3.inference import backend, forward, inference
from keras_spp.frameworks.keras3.inputs import (
    check_taken,
    input_keys,
    input_sizes,
    input_types,
    output_keys,
    sizes_that_fit,
)
from keras_spp.frameworks.keras3.layer_calls import before_activation, is_linear, output_shape
from keras_spp.frameworks.keras3.loading import load_model as load
from keras_spp.frameworks.keras3.loading import save_model as save
from keras_spp.frameworks.keras3.lockstep import Lockstep
from keras_spp.frameworks.keras3.losses import compiled_loss, describe_losses, find_losses
from keras_spp.frameworks.keras3.models import check, is_graph_network
from keras_spp.frameworks.keras3.openable import opened
from keras_spp.frameworks.keras3.photos import dataset, images_in
from keras_spp.frameworks.keras3.probe import Probe, norms
from keras_spp.frameworks.keras3.projection import projected_derivatives
from keras_spp.frameworks.keras3.rebuilding import copy_weights, declare_inputs, rebuild
from keras_spp.frameworks.keras3.score_functions import check_score
from keras_spp.frameworks.keras3.softmax import ends_in_softmax, is_softmax, logits_of
from keras_spp.frameworks.keras3.stages import require_unwrapped, stage
from keras_spp.frameworks.keras3.tracing import find_channels as label
from keras_spp.frameworks.keras3.tracing import is_frozen
from keras_spp.frameworks.keras3.training_step import (
    attach,
    begin_step,
    end_step,
    is_chief,
    is_eager,
    stateless,
    synced,
    when,
)
from keras_spp.frameworks.keras3.variables import raw, read, write
from keras_spp.frameworks.keras3.wrapping import WRAPPING

find_conductor, wrap = WRAPPING.find_conductor, WRAPPING.wrapped
keep_probabilities, wrappers = WRAPPING.keep_probabilities, WRAPPING.wrappers


def plain_class(layer: Any) -> type:
    """Returns the class that replaces a layer's in a small model: its own."""
    return type(layer)
