"""Functions of the user's, in a Lambda, an Activation or a layer without weights, opened.

Most of them keep channels apart and stay what they are (see `trial`). Others cut, join or shift
channels, or look at some of them: called on Keras tensors they give a graph of operations with
rules, which takes their place if it computes the same and lets channels go.
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
from keras_spp.frameworks.tf_keras import trial
from keras_spp.frameworks.tf_keras.clone import clone_layer
from keras_spp.frameworks.tf_keras.function_layers import weights_given
from keras_spp.frameworks.tf_keras.graph import nodes
from keras_spp.frameworks.tf_keras.labelling import as_functions
from keras_spp.frameworks.tf_keras.op_rules.brackets import without_dots
from keras_spp.frameworks.tf_keras.private import SlicingOpLambda, TFOpLambda
from keras_spp.frameworks.tf_keras.rebuilding import rebuild
from keras_spp.frameworks.tf_keras.tracing import trace
from keras_spp.rules.activations import activation, is_elementwise

L = keras.layers


def graph_of(layer: Any, opened: Callable[[keras.Model], keras.Model]) -> keras.Model | None:
    """A model of the operations in a layer's function; None if that should stay as it is.

    Args:
        layer: Any layer.
        opened: Opens what is inside further.
    """
    if not _is_the_users(layer) or (given := _operands(layer)) is None:
        return None
    try:
        functions = as_functions(layer)
        tensors = tf.nest.flatten(given)
        followed = trial.follow(functions, (given,), {}, tensors)
        if not functions or not isinstance(followed, Reason):
            return None
        model = as_model(layer, clone_layer(layer))
        if model.weights or any(weights_given(node.layer) for node in nodes(model)):
            return None  # which are nobody's, or another layer's
        model = opened(rebuild(model, clone_layer, _without_dots))
        saved = keras.saving.serialize_keras_object(model)
        keras.saving.deserialize_keras_object(saved)  # what can be saved has to stay so
        return model if _lets_go(model) and trial.agree(functions, model, given) else None
    except Exception:  # whatever the function does with Keras tensors
        return None


def as_model(layer: keras.layers.Layer, copy: keras.layers.Layer) -> keras.Model:
    """What a copy of a layer calls, as a model of the same name."""
    inputs = tf.nest.map_structure(
        lambda x: keras.Input(batch_shape=x.shape, dtype=x.dtype), layer.get_input_at(0)
    )
    copy(inputs)  # builds it
    model = keras.Model(inputs, copy.call(inputs), name=layer.name)
    if not layer.trainable:
        model.trainable = False
    return model


def _without_dots(layer: Any, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    """Slices for the `...` between brackets, which Keras cannot save."""
    if not isinstance(layer, SlicingOpLambda):
        return args, kwargs
    x, spec = inspect.signature(layer.function).bind(*args, **kwargs).args
    return (x, tuple(without_dots(spec, x.shape.rank))), {}


def _is_the_users(layer: Any) -> bool:
    kind = type(layer)
    if layer.weights or isinstance(layer, TFOpLambda) or layer.activity_regularizer is not None:
        return False
    if find(kind) is activation:
        return not is_elementwise(layer.activation)
    own = not kind.__module__.startswith("tf_keras.")
    return find(kind) is None and (own or kind is L.Lambda)


def _operands(layer: Any) -> Any:
    """What a layer is called on, labelled along the last axis; None if calls differ."""
    found = []
    for node in layer.inbound_nodes:
        others = {name: value for name, value in node.call_kwargs.items() if value is not None}
        if len(node.call_args) != 1 or set(others) - {"training"}:
            return None
        found.append(tf.nest.map_structure(lambda x: (tuple(x.shape), x.dtype), node.call_args[0]))
    if not found or any(calls != found[0] for calls in found):
        return None
    return tf.nest.map_structure(_labelled, layer.get_input_at(0))


def _labelled(x: Any) -> Tensor:
    size = x.shape[-1] or 1 if x.shape.rank else 1
    labels = np.arange(size).reshape([1] * (x.shape.rank - 1) + [-1] if x.shape.rank else [])
    return Tensor(labels, tuple(x.shape), x.dtype)


def _lets_go(model: keras.Model) -> bool:
    """Whether any channel of the inputs may leave."""
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
