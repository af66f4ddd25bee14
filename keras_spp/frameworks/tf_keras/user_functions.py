"""Opens functions of users, in a Lambda, an Activation or a layer without weights.

Most of them keep channels apart and stay as they are (see `trial`). Others cut, join or shift
channels, or read some of them: called on Keras tensors they return a graph of operations with
rules. The graph replaces the function if it computes the same and frees channels.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_spp.core.channels import Channels, Reason, Tensor
from keras_spp.core.coupling import couple
from keras_spp.core.rule import find
from keras_spp.frameworks.tensorflow import trial
from keras_spp.frameworks.tf_keras.clone import clone_layer
from keras_spp.frameworks.tf_keras.function_layers import variables_in_calls
from keras_spp.frameworks.tf_keras.graph import nodes
from keras_spp.frameworks.tf_keras.labelling import as_functions
from keras_spp.frameworks.tf_keras.op_rules.brackets import without_dots
from keras_spp.frameworks.tf_keras.private import SlicingOpLambda, TFOpLambda
from keras_spp.frameworks.tf_keras.rebuilding import rebuild
from keras_spp.frameworks.tf_keras.tracing import trace
from keras_spp.rules.activations import activation, is_elementwise

L = keras.layers


def graph_of(layer: Any, opened: Callable[[keras.Model], keras.Model]) -> keras.Model | None:
    """Returns a model of the operations in a layer's function; None if that should stay.

    Args:
        layer: Any layer.
        opened: Opens the layers inside further.
    """
    if not _is_user_function(layer) or (operands := _operands(layer)) is None:
        return None
    try:
        functions = as_functions(layer)
        tensors = tf.nest.flatten(operands)
        followed = trial.follow(functions, (operands,), {}, tensors)
        if not functions or not isinstance(followed, Reason):
            return None
        model = as_model(layer, clone_layer(layer))
        if model.weights or any(variables_in_calls(node.layer) for node in nodes(model)):
            return None  # no layer's, or another layer's
        model = opened(rebuild(model, clone_layer, _without_dots))
        saved = keras.saving.serialize_keras_object(model)
        keras.saving.deserialize_keras_object(saved)  # a model that can be saved must stay so
        return model if _frees_channels(model) and trial.agree(functions, model, operands) else None
    except Exception:  # whatever the function does with Keras tensors
        return None


def as_model(layer: keras.layers.Layer, copy: keras.layers.Layer) -> keras.Model:
    """Returns the layers that a copy of a layer calls, as a model of the same name."""
    inputs = tf.nest.map_structure(
        lambda x: keras.Input(batch_shape=x.shape, dtype=x.dtype), layer.get_input_at(0)
    )
    copy(inputs)  # builds it
    model = keras.Model(inputs, copy.call(inputs), name=layer.name)
    if not layer.trainable:
        model.trainable = False
    return model


def _without_dots(layer: Any, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    """Replaces the `...` between brackets, which Keras cannot save, by slices."""
    if not isinstance(layer, SlicingOpLambda):
        return args, kwargs
    x, spec = inspect.signature(layer.function).bind(*args, **kwargs).args
    return (x, tuple(without_dots(spec, x.shape.rank))), {}


def _is_user_function(layer: Any) -> bool:
    kind = type(layer)
    if layer.weights or isinstance(layer, TFOpLambda) or layer.activity_regularizer is not None:
        return False
    if find(kind) is activation:
        return not is_elementwise(layer.activation)
    own = not kind.__module__.startswith("tf_keras.")
    return find(kind) is None and (own or kind is L.Lambda)


def _operands(layer: Any) -> Any:
    """Returns a layer's inputs, labelled along the last axis; None if calls differ."""
    specs = []
    for node in layer.inbound_nodes:
        others = {name: value for name, value in node.call_kwargs.items() if value is not None}
        if len(node.call_args) != 1 or set(others) - {"training"}:
            return None
        specs.append(tf.nest.map_structure(lambda x: (tuple(x.shape), x.dtype), node.call_args[0]))
    if not specs or any(spec != specs[0] for spec in specs):
        return None
    return tf.nest.map_structure(_labelled, layer.get_input_at(0))


def _labelled(x: Any) -> Tensor:
    size = x.shape[-1] or 1 if x.shape.rank else 1
    labels = np.arange(size).reshape([1] * (x.shape.rank - 1) + [-1] if x.shape.rank else [])
    return Tensor(labels, tuple(x.shape), x.dtype)


def _frees_channels(model: keras.Model) -> bool:
    """Tells whether any channel of the inputs may leave."""
    channels = Channels()
    inputs = []
    for tensor in model.inputs:
        x = _labelled(tensor)
        labels = channels.new(x.labels.size).reshape(x.labels.shape)
        inputs.append(Tensor(labels, x.shape, x.dtype))
    trace(model, channels, inputs)
    coupling = couple(channels)
    reasons = [
        coupling.reasons.get(int(index), (Reason.UNREAD, ""))[0]
        for x in inputs
        for index in coupling.of_label[x.labels.ravel()]
    ]
    return Reason.UNREAD in reasons
