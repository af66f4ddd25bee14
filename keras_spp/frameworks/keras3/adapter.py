"""The Keras 3 adapter: what `keras_spp.frameworks.interface.Adapter` declares but for training.

What trains models is not there yet: stages ask `keras_spp.frameworks.of` for an
adapter that has it. There are no pruning wrappers either, so no model is in an unfinished stage.
"""

from typing import Any

import numpy as np
from keras.tree import flatten, map_structure
from keras.utils import Progbar

from keras_spp.frameworks.convolution import convolved_by
from keras_spp.frameworks.keras3 import optimizer_state as optimizers
from keras_spp.frameworks.keras3.alone import alone, input_shapes
from keras_spp.frameworks.keras3.batch_statistics import BatchStatistics
from keras_spp.frameworks.keras3.channel_statistics import ChannelStatistics
from keras_spp.frameworks.keras3.clone import clone
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
from keras_spp.frameworks.keras3.models import check, is_graph_network
from keras_spp.frameworks.keras3.openable import opened
from keras_spp.frameworks.keras3.photos import dataset, images_in
from keras_spp.frameworks.keras3.probe import Probe, norms
from keras_spp.frameworks.keras3.projection import projected_derivatives
from keras_spp.frameworks.keras3.rebuilding import copy_weights, declare_inputs, rebuild
from keras_spp.frameworks.keras3.softmax import is_softmax, logits_of
from keras_spp.frameworks.keras3.tracing import find_channels as label
from keras_spp.frameworks.keras3.tracing import is_frozen
from keras_spp.frameworks.keras3.variables import raw, read, write


def plain_class(layer: Any) -> type:
    """Returns the class that replaces a layer's in a small model: its own."""
    return type(layer)


def progress_bar(total: int, verbose: int, unit_name: str) -> Progbar:
    """Returns Keras' progress bar, which shows nothing if `verbose` is 0."""
    return Progbar(total, verbose=min(verbose, 1), unit_name=unit_name)


def stage(model: Any) -> None:
    """Returns None: no wrappers of Keras 3 are known."""


def require_unwrapped(model: Any) -> None:
    """Does nothing, as there are no wrappers."""


def wrappers(model: Any) -> list[Any]:
    """Returns no wrappers, as there are none."""
    return []


def keep_probabilities(model: Any) -> dict[int, np.ndarray]:
    """Returns none, as there are no wrappers."""
    return {}


def describe_losses(loss: Any) -> None:
    """Returns None for no loss.

    Raises:
        NotImplementedError: If there is one.
    """
    if loss is not None:
        raise NotImplementedError(
            "`loss` must be None for a Keras 3 model, whose outputs are compared instead."
        )


def compiled_loss(model: Any, loss: Any) -> Any:
    """Tells that losses are not computed yet.

    Raises:
        NotImplementedError: Always.
    """
    return describe_losses(loss)
