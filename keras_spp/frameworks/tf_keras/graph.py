"""Walking a functional or Sequential model: once to label its channels, once to rebuild it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras
from tf_keras.src.engine import functional

import keras_spp.frameworks.tf_keras.op_rules.arithmetic
import keras_spp.frameworks.tf_keras.op_rules.moves

# Importing these registers their rules.
import keras_spp.rules.applications
import keras_spp.rules.einsum
import keras_spp.rules.kernels
import keras_spp.rules.sequences  # noqa: F401
from keras_spp.core import rule as rules
from keras_spp.core.channels import Channels, Reason, Tensor
from keras_spp.core.coupling import Coupling, couple
from keras_spp.frameworks.tf_keras import dry_run
from keras_spp.frameworks.tf_keras.function_layers import is_frozen, weights_given
from keras_spp.frameworks.tf_keras.held_sizes import freeze_held
from keras_spp.frameworks.tf_keras.labelling import tensors_in
from keras_spp.frameworks.tf_keras.stack import is_graph
from keras_spp.frameworks.tf_keras.wrapper import PruneSPP, unwrap


def nodes(model: keras.Model) -> Iterator[Any]:
    """Layer calls of one model in the order in which Keras makes them, inputs left out."""
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            if not node.is_input:
                yield node


def layers(model: keras.Model, in_training: bool = False) -> Iterator[keras.layers.Layer]:
    """Every layer once, nested models opened, in the order of the first call.

    Args:
        model: A functional or Sequential model.
        in_training: Leave out calls that are fixed to inference, like `base(x, training=False)`.
    """
    seen: set[int] = set()

    def walk(layer: keras.layers.Layer) -> Iterator[keras.layers.Layer]:
        if id(layer) in seen:
            return
        seen.add(id(layer))
        if is_graph(layer):
            for node in nodes(layer):
                if not (in_training and node.call_kwargs.get("training") is False):
                    yield from walk(node.layer)
        elif _is_repeated(layer):
            yield from walk(layer.layer)
        else:
            yield layer

    return walk(model)


def _is_repeated(layer: keras.layers.Layer) -> bool:
    """Whether a layer applies the layer inside it to every time step."""
    kind = keras.layers.TimeDistributed
    return isinstance(layer, kind) and type(layer).call is kind.call


def find_wrappers(model: keras.Model) -> list[PruneSPP]:
    """The pruning wrappers of a model in the order of their first call."""
    return [layer for layer in layers(model) if isinstance(layer, PruneSPP)]


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
        The solved classes of channels.
    """
    channels = Channels()
    inputs = []
    for number, tensor in enumerate(model.inputs):
        shape = tuple(tensor.shape) if sizes is None else (tensor.shape[0], *sizes[number])
        labels = channels.new(shape[-1] or 1) if len(shape) > 1 else channels.new(1)
        channels.freeze(labels, Reason.INPUT, tensor.node.layer.name)
        channels.batch = shape[0]
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
    known = {id(tensor): x for tensor, x in pairs}

    def lookup(argument: Any) -> Any:
        return known.get(id(argument), argument)

    for node in calls:
        args, kwargs = tf.nest.map_structure(lookup, (tuple(node.call_args), node.call_kwargs))
        results = tf.nest.flatten(node.outputs)
        shapes = [sizes.get(id(result), dry_run.static_shape(result)) for result in results]
        dtypes = [getattr(result.type_spec, "dtype", None) for result in results]
        outputs = _trace_layer(node.layer, channels, args, kwargs, shapes, dtypes)
        known.update(zip(map(id, results), outputs, strict=True))
        for part in channels.take_unmeasured():
            channels.cost_measured(part, dry_run.macs(node, lambda tensor: lookup(tensor).shape))
    return [known[id(tensor)] for tensor in model.outputs]


def _trace_layer(
    layer: keras.layers.Layer,
    channels: Channels,
    args: tuple,
    kwargs: dict,
    shapes: list[tuple],
    dtypes: list[Any],
) -> list[Tensor]:
    layer, given = unwrap(layer), rules.tensors_in(args, kwargs)
    if is_graph(layer):
        if args:  # a dict may have more entries than the model has inputs
            given = rules.tensors_in(layer._flatten_to_reference_inputs(args[0]))
        for tensor, x in zip(layer.inputs, given, strict=True):
            _label_input(channels, tensor.node.layer, x)
        return trace(layer, channels, given)
    if not _is_repeated(layer):
        outputs = rules.apply(channels, layer, args, kwargs, shapes, dtypes)
        freeze_held(channels, layer, outputs)
        return outputs
    # The inside knows nothing of the time axis; channels that differ along it are tied away.
    steps = [
        Tensor(channels.same_along(x.labels, 1)[:, 0], (x.shape[0], *x.shape[2:]), x.dtype)
        for x in given
    ]
    inner_shapes = [(shape[0], *shape[2:]) for shape in shapes]
    with channels.repeated(given[0].shape[1]):
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
    """The declared shape of a nested model's input follows the channels that it is given."""
    shape = layer.get_config()["batch_input_shape"]
    for axis in x.varying or [len(shape) - 1]:
        if shape[axis] is not None:
            channels.edit(
                layer,
                "batch_input_shape",
                [channels.vector(x, axis)],
                lambda keep, at=axis: (*shape[:at], rules.count(keep), *shape[at + 1 :]),
            )


def rebuild(
    model: keras.Model,
    make_layer: Callable[[keras.layers.Layer], keras.layers.Layer],
    edit_call: Callable[[Any, tuple, dict], tuple[tuple, dict]] | None = None,
) -> keras.Model:
    """Calls new layers in the same graph.

    Args:
        model: A functional or Sequential model, never modified.
        make_layer: Gives the new layer for each old one (asked once per layer, inputs
            included; nested models are rebuilt with the same function).
        edit_call: Receives (layer, args, kwargs) of each call and returns the arguments to use.

    Returns:
        A new model of the same class where that class has a functional constructor.
    """
    made: dict[int, Any] = {}
    tied = {id(variable) for layer in layers(model) for variable in weights_given(layer)}
    variables: dict[int, Any] = {}  # the new ones of those, as far as layers are built

    def new_layer(layer: keras.layers.Layer) -> Any:
        if id(layer) not in made:
            made[id(layer)] = make(layer)
        return made[id(layer)]

    def make(layer: Any) -> Any:
        if is_graph(layer):
            return rebuild_model(layer)
        if _is_repeated(layer):
            config = keras.layers.Layer.get_config(layer)
            return type(layer)(new_layer(layer.layer), **config)
        return make_layer(layer)

    def remember_tied(layer: Any) -> None:
        if tied and not is_graph(layer) and not is_graph(made[id(layer)]):
            pairs = zip(unwrap(layer).weights, unwrap(made[id(layer)]).weights, strict=False)
            variables.update((id(old), new) for old, new in pairs if id(old) in tied)

    def rebuild_model(part: keras.Model) -> keras.Model:
        copies = [new_layer(tensor.node.layer) for tensor in part.inputs]
        if isinstance(part, keras.Sequential):
            result = keras.Sequential([*copies, *map(new_layer, part.layers)], name=part.name)
            for layer in part.layers:
                remember_tied(layer)
            result._trainable = part._trainable
            return result
        known = {id(old): copy.output for old, copy in zip(part.inputs, copies, strict=True)}
        calls = []

        def lookup(argument: Any) -> Any:
            return known.get(id(argument), variables.get(id(argument), argument))

        for node in nodes(part):
            args, kwargs = tf.nest.map_structure(
                lookup, (tuple(node.call_args), dict(node.call_kwargs))
            )
            if edit_call is not None:
                args, kwargs = edit_call(node.layer, args, kwargs)
            layer = new_layer(node.layer)
            outputs = layer(*args, **kwargs)
            calls.append((node, layer.inbound_nodes[-1]))
            remember_tied(node.layer)
            known.update(
                zip(map(id, tf.nest.flatten(node.outputs)), tf.nest.flatten(outputs), strict=True)
            )
        kind = type(part) if functional.has_functional_like_constructor(type(part)) else keras.Model
        result = kind(
            tf.nest.map_structure(lookup, part._nested_inputs),
            tf.nest.map_structure(lookup, part._nested_outputs),
            name=part.name,
        )
        reached = set(map(id, nodes(result))) | _ids_of_ancestors(part.outputs)
        # Of add_loss; not what computed an argument that a function has no more as a layer.
        if beside := [new for old, new in calls if not {id(old), id(new)} & reached]:
            result._insert_layers([call.layer for call in beside], beside)
        result._trainable = part._trainable  # the setter would overrule the layers inside
        return result

    return rebuild_model(model)


def _ids_of_ancestors(tensors: list[Any]) -> set[int]:
    """Of all calls that these tensors depend on."""
    found: set[int] = set()
    left = [tensor.node for tensor in tensors]
    while left:
        node = left.pop()
        if id(node) not in found:
            found.add(id(node))
            left.extend(node.parent_nodes)
    return found


def copy_weights(
    model: keras.Model,
    rebuilt: keras.Model,
    value: Callable[[keras.layers.Layer, tf.Variable], np.ndarray] = lambda _, v: v.numpy(),
) -> None:
    """Fills a rebuilt model; `value(layer, variable)` may fold and slice the old weights."""
    for old, new in zip(layers(model), layers(rebuilt), strict=True):
        old, new = unwrap(old), unwrap(new)
        if not old.weights:
            continue
        values = [value(old, variable) for variable in old.weights]
        try:
            new.set_weights(values)
        except ValueError as error:
            raise ValueError(
                f"`model` has a layer {old.name!r} ({type(old).__name__}) whose copy has weights "
                f"of other shapes than it should ({error}): its rule must resize every entry of "
                f"the config that depends on its channels."
            ) from error
        if hasattr(new, "finalize_state"):  # preprocessing layers derive tensors from weights
            new.finalize_state()
