"""The tf_keras adapter, as `keras_spp.frameworks.interface.Adapter` declares it."""

from tensorflow.nest import flatten, map_structure

from keras_spp.frameworks.convolution import convolved_by
from keras_spp.frameworks.tensorflow import arrays
from keras_spp.frameworks.tensorflow.derivatives import derivatives
from keras_spp.frameworks.tensorflow.photos import dataset
from keras_spp.frameworks.tf_keras import checkpoints
from keras_spp.frameworks.tf_keras import optimizer_state as optimizers
from keras_spp.frameworks.tf_keras.alone import alone, input_shapes
from keras_spp.frameworks.tf_keras.batch_statistics import BatchStatistics
from keras_spp.frameworks.tf_keras.channel_statistics import ChannelStatistics
from keras_spp.frameworks.tf_keras.clone import clone_layer as clone
from keras_spp.frameworks.tf_keras.distillation import distilled
from keras_spp.frameworks.tf_keras.distribution import (
    checksum,
    require_alike,
    require_copies,
    require_one_process,
)
from keras_spp.frameworks.tf_keras.function_layers import is_frozen
from keras_spp.frameworks.tf_keras.graph import layers
from keras_spp.frameworks.tf_keras.graph import layers as operations
from keras_spp.frameworks.tf_keras.inference import backend, forward, inference
from keras_spp.frameworks.tf_keras.inputs import (
    check_taken,
    input_keys,
    input_sizes,
    input_types,
    output_keys,
    sizes_that_fit,
)
from keras_spp.frameworks.tf_keras.layer_calls import before_activation, is_linear, output_shape
from keras_spp.frameworks.tf_keras.layers import plain_class
from keras_spp.frameworks.tf_keras.loading import load_model as load
from keras_spp.frameworks.tf_keras.loading import save_model as save
from keras_spp.frameworks.tf_keras.lockstep import Lockstep
from keras_spp.frameworks.tf_keras.losses import compiled_loss, describe_losses, find_losses
from keras_spp.frameworks.tf_keras.models import check
from keras_spp.frameworks.tf_keras.openable import opened
from keras_spp.frameworks.tf_keras.photos import images_in
from keras_spp.frameworks.tf_keras.private import is_graph_network
from keras_spp.frameworks.tf_keras.probe import Probe, norms
from keras_spp.frameworks.tf_keras.projection import projected_derivatives
from keras_spp.frameworks.tf_keras.rebuilding import copy_weights, declare_inputs, rebuild
from keras_spp.frameworks.tf_keras.score_functions import check_score
from keras_spp.frameworks.tf_keras.softmax import ends_in_softmax, is_softmax, logits_of
from keras_spp.frameworks.tf_keras.stages import require_unwrapped, stage
from keras_spp.frameworks.tf_keras.tracing import find_channels as label
from keras_spp.frameworks.tf_keras.training_step import (
    attach,
    begin_step,
    end_step,
    is_chief,
    is_eager,
    require_unchanged,
    stateless,
    synced,
    when,
)
from keras_spp.frameworks.tf_keras.variables import host as read
from keras_spp.frameworks.tf_keras.variables import raw, write
from keras_spp.frameworks.tf_keras.wrapper import unwrap
from keras_spp.frameworks.tf_keras.wrapping import WRAPPING

find_conductor, wrap = WRAPPING.find_conductor, WRAPPING.wrapped
keep_probabilities, wrappers = WRAPPING.keep_probabilities, WRAPPING.wrappers
