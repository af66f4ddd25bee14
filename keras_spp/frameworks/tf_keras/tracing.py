"""Labels every channel of a model: moves labels through its layers, call by call."""

from __future__ import annotations

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
import keras_spp.rules.sequences  # noqa: F401
from keras_spp.core.call import Call, tensors_in
from keras_spp.core.channels import Channels, Reason, Tensor
from keras_spp.core.common_rules import count
from keras_spp.core.coupling import Coupling, couple
from keras_spp.core.rule import apply
from keras_spp.frameworks.tf_keras import dry_run, labelling, private
from keras_spp.frameworks.tf_keras.function_layers import is_frozen
from keras_spp.frameworks.tf_keras.graph import is_repeated, nodes
from keras_spp.frameworks.tf_keras.held_sizes import freeze_held
from keras_spp.frameworks.tf_keras.models import is_graph
from keras_spp.frameworks.tf_keras.wrapper import unwrap


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
    inputs = []
    for number, tensor in enumerate(model.inputs):
        shape = tuple(tensor.shape) if sizes is None else (tensor.shape[0], *sizes[number])
        labels = channels.new(shape[-1] or 1) if len(shape) > 1 else channels.new(1)
        channels.freeze(labels, Reason.INPUT, tensor.node.layer.name)
        labels = labels.reshape([1] * (len(shape) - 1) + [-1])
        inputs.append(Tensor(labels, shape, tensor.dtype))
    with tf.init_scope():  # also when a training step is being traced
        outputs = tensors_in(trace(model, channels, inputs))
    for tensor in outputs:
        channels.freeze(tensor.labels, Reason.OUTPUT)
    for axis in list(channels.axes.values()):
        reason = None
        if axis.role != "follows" and to_prune and is_frozen(axis.layer):
            reason = Reason.FROZEN
        elif axis.role != "follows" and policy is not None and not policy.allow_pruning(axis.layer):
            reason = Reason.POLICY
        if reason is not None:
            channels.refused.add(id(axis.layer))
            channels.freeze(axis.labels, reason, axis.layer.name)
    return couple(channels)


def trace(model: keras.Model, channels: Channels, inputs: list[Tensor]) -> list[Tensor]:
    """Moves labelled inputs through a model and returns its labelled outputs."""
    calls = list(nodes(model))
    pairs = list(zip(model.inputs, inputs, strict=True))
    sizes = dry_run.shapes(calls, [(tensor, x.shape) for tensor, x in pairs])
    labelled = {id(tensor): x for tensor, x in pairs}

    def lookup(argument: Any) -> Any:
        return labelled.get(id(argument), argument)

    for node in calls:
        args, kwargs = tf.nest.map_structure(lookup, (tuple(node.call_args), node.call_kwargs))
        results = tf.nest.flatten(node.outputs)
        shapes = [sizes.get(id(result), dry_run.static_shape(result)) for result in results]
        dtypes = [getattr(result.type_spec, "dtype", None) for result in results]
        outputs = _trace_layer(node.layer, channels, args, kwargs, shapes, dtypes)
        labelled.update(zip(map(id, results), outputs, strict=True))
        for part in channels.take_unmeasured():
            channels.cost_measured(part, dry_run.macs(node, lambda tensor: lookup(tensor).shape))
    return [labelled[id(tensor)] for tensor in model.outputs]


def _trace_layer(
    layer: keras.layers.Layer,
    channels: Channels,
    args: tuple,
    kwargs: dict,
    shapes: list[tuple],
    dtypes: list[Any],
) -> list[Tensor]:
    layer, tensors = unwrap(layer), tensors_in(args, kwargs)
    if is_graph(layer):
        if args:  # a dict may have more entries than the model has inputs
            tensors = tensors_in(private.in_reference_order(layer, args[0]))
        for tensor, x in zip(layer.inputs, tensors, strict=True):
            _label_input(channels, tensor.node.layer, x)
        return trace(layer, channels, tensors)
    if not is_repeated(layer):
        outputs = apply(Call(labelling, channels, layer, shapes, dtypes), args, kwargs)
        freeze_held(channels, layer, outputs)
        return outputs
    # The layer inside has no time axis; channels that differ along it are tied.
    steps = [
        Tensor(channels.same_along(x.labels, 1)[:, 0], (x.shape[0], *x.shape[2:]), x.dtype)
        for x in tensors
    ]
    inner_shapes = [(shape[0], *shape[2:]) for shape in shapes]
    with channels.repeated(tensors[0].shape[1]):
        outputs = _trace_layer(
            layer.layer,
            channels,
            (tf.nest.pack_sequence_as(args[0], steps),),
            {},
            inner_shapes,
            dtypes,
        )
    return [
        Tensor(output.labels[:, None], *rest)
        for output, *rest in zip(outputs, shapes, dtypes, strict=True)
    ]


def _label_input(channels: Channels, layer: keras.layers.InputLayer, x: Tensor) -> None:
    """Records the channels of a nested model's input in the shape that the input declares."""
    shape = layer.get_config()["batch_input_shape"]
    for axis in x.varying or [len(shape) - 1]:
        if shape[axis] is not None:
            channels.edit(
                layer,
                "batch_input_shape",
                [channels.vector(x, axis)],
                lambda keep, at=axis: (*shape[:at], count(keep), *shape[at + 1 :]),
            )
