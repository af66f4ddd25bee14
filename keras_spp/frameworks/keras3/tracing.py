"""Labels every channel of a Keras 3 model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

# Importing these registers their rules.
import keras_spp.rules.applications
import keras_spp.rules.einsum
import keras_spp.rules.kernels
import keras_spp.rules.merges
import keras_spp.rules.moves
import keras_spp.rules.products
import keras_spp.rules.sequences  # noqa: F401
from keras_spp.core.call import Call, tensors_in
from keras_spp.core.channels import Channels, Reason, Tensor
from keras_spp.core.coupling import Coupling
from keras_spp.core.rule import apply, apply_function
from keras_spp.frameworks.keras3 import dry_run, graph, labelling
from keras_spp.frameworks.keras3.adapted import is_adapted
from keras_spp.frameworks.keras3.bias_axis import keep_axis
from keras_spp.frameworks.keras3.held_sizes import follow_declared, freeze_held
from keras_spp.frameworks.keras3.op_rules.operation import operation
from keras_spp.frameworks.tracing import Shape, Tracing, coupled
from keras_spp.rules.channelwise import channel_axis


class _Tracing(Tracing):
    """One pass of labels through a Keras 3 model."""

    graph = graph
    labelling = labelling
    input_shape_key = "batch_shape"

    def input_layer(self, tensor: Any) -> keras.layers.InputLayer:
        """Returns the layer that a model's input comes from."""
        return graph.input_layer(tensor)

    def shape_and_dtype(self, tensor: Any) -> tuple[Shape, Any]:
        """Returns the static shape and the type of a symbolic tensor."""
        return tuple(tensor.shape), tensor.dtype

    def shapes(self, nodes: list[Any], inputs: list[tuple[Any, Shape]]) -> dict[int, Shape]:
        """Returns shapes that Keras leaves open though the inputs' are fixed."""
        return dry_run.shapes(nodes, inputs)

    def macs(self, node: Any, shape_of: Callable[[Any], Shape]) -> int | None:
        """Counts the multiply-accumulates of a call in the graph that it makes."""
        return dry_run.macs(node, shape_of)

    def apply(self, call: Call, args: tuple, kwargs: dict) -> list[Tensor]:
        """Applies the rule of a layer or a function, and freezes what it holds to its size."""
        if graph.is_function(call.layer):
            return apply_function(operation, call, args, kwargs)
        if is_adapted(call.layer):
            return apply_function(_kept_whole, call, args, kwargs)
        outputs = apply(call, args, kwargs)
        freeze_held(call.channels, call.layer, outputs)
        if isinstance(call.layer, keras.layers.Lambda):
            follow_declared(call.channels, call.layer, outputs)
        if channel_axis(call.layer) == 1 and getattr(call.layer, "bias", None) is not None:
            for x in outputs:
                bias = [1, x.shape[1], *[1] * (len(x.shape) - 2)]
                keep_axis(call.channels, call.layer, call.vector(x, 1), 1, x.shape, bias)
        return outputs


def _kept_whole(call: Call, args: tuple, kwargs: dict) -> Any:
    call.channels.leave_to_measure(call.layer)
    return call.opaque(tensors_in(args, kwargs), Reason.ADAPTED)


def find_channels(
    model: keras.Model, policy: Any = None, to_prune: bool = False, sizes: Any = None
) -> Coupling:
    """Labels every channel of a model.

    Args:
        model: A built functional or Sequential model.
        policy: Has `allow_pruning(layer)`; layers that it refuses keep all their channels.
        to_prune: Whether layers that are not trainable keep theirs too.
        sizes: Those of each input without the batch; None for what the model declares.

    Returns:
        The channels' coupling.
    """
    channels = Channels(batch=model.inputs[-1].shape[0])
    tracing = _Tracing(channels)
    outputs = tracing.trace(model, tracing.inputs(model, sizes))
    return coupled(channels, outputs, policy, is_frozen if to_prune else None)


def is_frozen(layer: Any) -> bool:
    """Tells whether training leaves a layer's weights alone."""
    return not layer.trainable
