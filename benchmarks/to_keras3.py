"""A tf_keras model of plain layers, and of `tf.pad`, as one of Keras 3 with the same weights."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
import tf_keras

from keras_spp.frameworks.tf_keras.graph import nodes

# What configs of tf_keras hold and those of Keras 3 do not know.
DROPPED = ("batch_input_shape", "dtype", "ragged", "sparse")


def converted(model: tf_keras.Model) -> keras.Model:
    """The same network; its layers must be of classes that both have.

    Raises:
        TypeError: If it has another layer.
    """
    tensors: dict[int, Any] = {
        id(tensor): keras.Input(batch_shape=tuple(tensor.shape)) for tensor in model.inputs
    }
    inputs = list(tensors.values())
    layers: dict[str, Any] = {}
    for node in nodes(model):
        old = node.layer
        arguments = [
            tf.nest.map_structure(lambda x: tensors[id(x)], argument) for argument in node.call_args
        ]
        if old.get_config().get("function") == "compat.v1.pad":
            output = keras.ops.pad(*arguments, node.call_kwargs["paddings"])
        else:
            if old.name not in layers:
                layers[old.name] = _layer(old)
            output = layers[old.name](*arguments)
        tensors[id(node.outputs)] = output
    result = keras.Model(inputs, [tensors[id(output)] for output in model.outputs], name=model.name)
    for name, layer in layers.items():
        layer.set_weights(model.get_layer(name).get_weights())
    return result


def _layer(old: Any) -> Any:
    kind = getattr(keras.layers, type(old).__name__, None)
    if kind is None or type(old).__module__.partition(".")[0] != "tf_keras":
        raise TypeError(f"{old.name} is a {type(old).__name__}, which Keras 3 does not have.")
    config = {key: value for key, value in old.get_config().items() if key not in DROPPED}
    if isinstance(config.get("axis"), list):  # of a batch normalisation, where Keras 3 has one
        (config["axis"],) = config["axis"]
    return kind.from_config(config)
