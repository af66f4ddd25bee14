"""Labels every channel of a tf_keras model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tf_keras as keras

# Importing these registers their rules.
import keras_spp.frameworks.tf_keras.op_rules.op
import keras_spp.rules.applications
import keras_spp.rules.einsum
import keras_spp.rules.kernels
import keras_spp.rules.merges
import keras_spp.rules.moves
import keras_spp.rules.products
import keras_spp.rules.sequences  # noqa: F401
from keras_spp.core.call import Call
from keras_spp.core.channels import Channels, Tensor
from keras_spp.core.coupling import Coupling
from keras_spp.core.rule import apply
from keras_spp.frameworks.tf_keras import dry_run, graph, labelling
from keras_spp.frameworks.tf_keras.function_layers import is_frozen
from keras_spp.frameworks.tf_keras.held_sizes import freeze_held
from keras_spp.frameworks.tracing import Shape, Tracing, coupled


class _Tracing(Tracing):
    """One pass of labels through a tf_keras model."""

    graph = graph
    labelling = labelling
    input_shape_key = "batch_input_shape"

    def input_layer(self, tensor: Any) -> keras.layers.InputLayer:
        """Returns the layer that a model's input comes from."""
        return tensor.node.layer

    def shape_and_dtype(self, tensor: Any) -> tuple[Shape, Any]:
        """Returns the static shape and the type of a symbolic tensor."""
        return dry_run.static_shape(tensor), getattr(tensor.type_spec, "dtype", None)

    def shapes(self, nodes: list[Any], inputs: list[tuple[Any, Shape]]) -> dict[int, Shape]:
        """Returns shapes that Keras leaves open though the inputs' are fixed."""
        return dry_run.shapes(nodes, inputs)

    def macs(self, node: Any, shape_of: Callable[[Any], Shape]) -> int | None:
        """Counts the multiply-accumulates of a call in the graph that it makes."""
        return dry_run.macs(node, shape_of)

    def apply(self, call: Call, args: tuple, kwargs: dict) -> list[Tensor]:
        """Applies the rule of a layer, and freezes what it holds to its size."""
        outputs = apply(call, args, kwargs)
        freeze_held(call.channels, call.layer, outputs)
        return outputs


def find_channels(
    model: keras.Model, policy: Any = None, to_prune: bool = False, sizes: Any = None
) -> Coupling:
    """Labels every channel of a model.

    Args:
        model: A built functional or Sequential model; pruning wrappers are looked through.
        policy: A tfmot `PruningPolicy`; layers that it refuses keep all their channels.
        to_prune: Whether layers that are not trainable keep theirs too.
        sizes: Those of each input without the batch; None for what the model declares.

    Returns:
        The channels' coupling.
    """
    channels = Channels(batch=model.inputs[-1].shape[0])
    tracing = _Tracing(channels)
    inputs = tracing.inputs(model, sizes)
    with tf.init_scope():  # also when a training step is being traced
        outputs = tracing.trace(model, inputs)
    return coupled(channels, outputs, policy, is_frozen if to_prune else None)


def trace(model: keras.Model, channels: Channels, inputs: list[Tensor]) -> list[Tensor]:
    """Moves labelled inputs through a model and returns its labelled outputs."""
    return _Tracing(channels).trace(model, inputs)
