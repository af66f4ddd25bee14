"""Walking a functional or Sequential model: once to label its channels, once to rebuild it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras
from tf_keras.src.engine import functional

# Importing these registers their rules.
import keras_spp.application_rules
import keras_spp.moving_ops
import keras_spp.ops
import keras_spp.sequence_rules  # noqa: F401
from keras_spp import rules
from keras_spp.channels import Channels, Classes, Reason, Tensor
from keras_spp.compat import is_graph
from keras_spp.wrapper import PruneSPP, unwrap


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


def find_channels(model: keras.Model, policy: Any = None) -> Classes:
    """Labels every channel of a model.

    Args:
        model: A built functional or Sequential model; pruning wrappers are looked through.
        policy: A tfmot `PruningPolicy`; layers that it refuses keep all their channels.

    Returns:
        The solved classes of channels.
    """
    channels = Channels()
    inputs = []
    for tensor in model.inputs:
        shape = tuple(tensor.shape)
        labels = channels.new(shape[-1] or 1) if len(shape) > 1 else channels.new(1)
        channels.freeze(labels, Reason.INPUT, tensor.node.layer.name)
        inputs.append(Tensor(labels.reshape([1] * (len(shape) - 1) + [-1]), shape))
    for tensor in trace(model, channels, inputs):
        channels.freeze(tensor.labels, Reason.OUTPUT)
    if policy is not None:
        for axis in list(channels.axes.values()):
            if axis.role != "follows" and not policy.allow_pruning(axis.layer):
                channels.refused.add(id(axis.layer))
                channels.freeze(axis.labels, Reason.POLICY, axis.layer.name)
    return channels.solve()


def trace(model: keras.Model, channels: Channels, inputs: list[Tensor]) -> list[Tensor]:
    """Moves labelled inputs through a model and returns its labelled outputs."""
    measured = _measured(model, inputs)
    known = {id(tensor): given for tensor, given in zip(model.inputs, inputs, strict=True)}

    def lookup(argument: Any) -> Any:
        return known.get(id(argument), argument)

    for node in nodes(model):
        args, kwargs = tf.nest.map_structure(lookup, (tuple(node.call_args), node.call_kwargs))
        results = tf.nest.flatten(node.outputs)
        shapes = [measured.get(id(result), tuple(result.shape)) for result in results]
        outputs = _trace_layer(node.layer, channels, args, kwargs, shapes)
        known.update(zip(map(id, results), outputs, strict=True))
    return [known[id(tensor)] for tensor in model.outputs]


def _measured(model: keras.Model, inputs: list[Tensor]) -> dict[int, tuple[int | None, ...]]:
    """Shapes that Keras left open though the inputs have fixed sizes, by the tensor's id.

    So it is in a nested model whose own input is open, and behind a reshape to `tf.shape(x)`.
    One sample sent through the graph, without being computed, tells them.
    """
    results = [result for node in nodes(model) for result in tf.nest.flatten(node.outputs)]
    if all(None not in result.shape[1:] for result in results):
        return {}
    if any(None in x.shape[1:] for x in inputs):
        return {}
    values = {}
    with tf.__internal__.FuncGraph("shapes").as_default():
        for tensor, x in zip(model.inputs, inputs, strict=True):
            shape = (x.shape[0] or 1, *x.shape[1:])
            values[id(tensor)] = tf.compat.v1.placeholder(tensor.dtype, shape)
        for node in nodes(model):
            args, kwargs = tf.nest.map_structure(
                lambda argument: values.get(id(argument), argument),
                (tuple(node.call_args), dict(node.call_kwargs)),
            )
            if node.layer._expects_training_arg:
                kwargs["training"] = False
            outputs = tf.nest.flatten(node.layer(*args, **kwargs))
            values.update(zip(map(id, tf.nest.flatten(node.outputs)), outputs, strict=True))
    return {
        id(result): (
            result.shape[0] if values[id(result)].shape[:1] == [1] else values[id(result)].shape[0],
            *values[id(result)].shape[1:],
        )
        for result in results
        if result.shape.rank
    }


def _trace_layer(
    layer: keras.layers.Layer, channels: Channels, args: tuple, kwargs: dict, shapes: list[tuple]
) -> list[Tensor]:
    layer, given = unwrap(layer), rules.tensors_in(args, kwargs)
    if is_graph(layer):
        for tensor, x in zip(layer.inputs, given, strict=True):
            _label_input(channels, tensor.node.layer, x)
        return trace(layer, channels, given)
    if not _is_repeated(layer):
        return rules.apply(channels, layer, args, kwargs, shapes)
    # The inside knows nothing of the time axis; channels that differ along it are tied away.
    (x,) = given
    first = channels.same_along(x.labels, 1)
    step = Tensor(first[:, 0], (x.shape[0], *x.shape[2:]))
    inner_shapes = [(shape[0], *shape[2:]) for shape in shapes]
    with channels.repeated(x.shape[1]):
        outputs = _trace_layer(layer.layer, channels, (step,), {}, inner_shapes)
    return [
        Tensor(output.labels[:, None], shape) for output, shape in zip(outputs, shapes, strict=True)
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


def clone_layer(
    layer: keras.layers.Layer, changes: dict[str, Any] | None = None, kind: Any = None
) -> Any:
    """A new, unbuilt layer with the same config except for `changes`, of another class if given."""
    try:
        config = layer.get_config()
    except NotImplementedError as error:
        raise ValueError(
            f"`model` has a layer {layer.name!r} ({type(layer).__name__}) that cannot be copied "
            f"because its class has no get_config(): define one."
        ) from error
    config.update(changes or {})
    activation = getattr(layer, "activation", None)
    module = getattr(activation, "__module__", None) or ""
    foreign = callable(activation) and not module.startswith(("tf_keras.", "tensorflow."))
    shared = foreign and "activation" in vars(layer) and not getattr(activation, "weights", None)
    if shared:  # a lambda, or a layer that is not registered: Keras could not read its config
        config["activation"] = None
    copy = (kind or type(layer)).from_config(config)
    if shared:
        copy.activation = activation
    return copy


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

    def rebuild_model(part: keras.Model) -> keras.Model:
        copies = [new_layer(tensor.node.layer) for tensor in part.inputs]
        if isinstance(part, keras.Sequential):
            return keras.Sequential([*copies, *map(new_layer, part.layers)], name=part.name)
        known = {id(old): copy.output for old, copy in zip(part.inputs, copies, strict=True)}

        def lookup(argument: Any) -> Any:
            return known.get(id(argument), argument)

        for node in nodes(part):
            args, kwargs = tf.nest.map_structure(
                lookup, (tuple(node.call_args), dict(node.call_kwargs))
            )
            if edit_call is not None:
                args, kwargs = edit_call(node.layer, args, kwargs)
            outputs = new_layer(node.layer)(*args, **kwargs)
            known.update(
                zip(map(id, tf.nest.flatten(node.outputs)), tf.nest.flatten(outputs), strict=True)
            )
        kind = type(part) if functional.has_functional_like_constructor(type(part)) else keras.Model
        return kind(
            tf.nest.map_structure(lookup, part._nested_inputs),
            tf.nest.map_structure(lookup, part._nested_outputs),
            name=part.name,
        )

    rebuilt = rebuild_model(model)
    present = set(map(id, rebuilt._flatten_layers()))
    lost = [layer.name for layer in layers(model) if id(made.get(id(layer))) not in present]
    if lost:
        raise ValueError(
            f"`model` has layers that its outputs do not depend on, {lost}: build it without "
            f"them (a loss given to add_loss can be given to compile instead)."
        )
    return rebuilt


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
        new.set_weights(values)
        if hasattr(new, "finalize_state"):  # preprocessing layers derive tensors from weights
            new.finalize_state()
