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
import keras_spp.ops  # noqa: F401
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


def layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """Every layer once, nested models opened, in the order of the first call."""
    seen: set[int] = set()

    def walk(part: keras.Model) -> Iterator[keras.layers.Layer]:
        for node in nodes(part):
            if id(node.layer) in seen:
                continue
            seen.add(id(node.layer))
            if is_graph(node.layer):
                yield from walk(node.layer)
            else:
                yield node.layer

    return walk(model)


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
    known = {id(tensor): given for tensor, given in zip(model.inputs, inputs, strict=True)}

    def lookup(argument: Any) -> Any:
        return known.get(id(argument), argument)

    for node in nodes(model):
        args, kwargs = tf.nest.map_structure(lookup, (tuple(node.call_args), node.call_kwargs))
        results = tf.nest.flatten(node.outputs)
        layer = unwrap(node.layer)
        if is_graph(layer):
            given = rules.tensors_in(args, kwargs)
            for tensor, x in zip(layer.inputs, given, strict=True):
                _label_input(channels, tensor.node.layer, x)
            outputs = trace(layer, channels, given)
        else:
            outputs = rules.apply(
                channels, layer, args, kwargs, [tuple(result.shape) for result in results]
            )
        known.update(zip(map(id, results), outputs, strict=True))
    return [known[id(tensor)] for tensor in model.outputs]


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
    shared = foreign and "activation" in config and not getattr(activation, "weights", None)
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
            made[id(layer)] = rebuild_model(layer) if is_graph(layer) else make_layer(layer)
        return made[id(layer)]

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
