"""Every private name of tf_keras, tfmot and TensorFlow that this library uses, each with its why.

`tests/frameworks/test_private.py` pins them: when one of the three moves something, that test says
what, and this file is the only one to mend.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf
import tf_keras as keras

# Parsing a SavedModel without loading it; graphs to send symbols through that leave no trace.
from tensorflow import __internal__ as internal

# What runs code when a SavedModel is loaded.
from tensorflow.python.saved_model.registration.registration import get_registered_class
from tensorflow.python.trackable.resource import CapturableResource

# Which function of TensorFlow a name in a file stands for.
from tensorflow.python.util.tf_export import get_canonical_name_for_symbol, get_symbol_from_name

# tfmot exports functions that wrap a fixed list of layers, but not the wrappers.
from tensorflow_model_optimization.python.core.keras import utils as tfmot_utils
from tensorflow_model_optimization.python.core.quantization.keras import (
    quantize_annotate,
    quantize_layer,
    quantize_wrapper,
)
from tensorflow_model_optimization.python.core.sparsity.keras import pruning_wrapper
from tensorflow_model_optimization.python.core.sparsity.keras.prunable_layer import PrunableLayer
from tensorflow_model_optimization.python.core.sparsity.keras.prune_registry import PruneRegistry
from tensorflow_model_optimization.python.core.sparsity.keras.pruning_wrapper import (
    PruneLowMagnitude,
)

# Modules in which Keras looks up names that a saved model gives for what it holds.
from tf_keras.src import activations, constraints, initializers, losses, metrics, regularizers
from tf_keras.src.engine import base_layer, input_spec

# Whether a class of models can be made again as class(inputs, outputs).
from tf_keras.src.engine.functional import has_functional_like_constructor

# What is passed around while a functional model is put together.
from tf_keras.src.engine.keras_tensor import KerasTensor
from tf_keras.src.layers import serialization as layer_serialization

# The layers that Keras makes of TensorFlow functions called on such tensors.
from tf_keras.src.layers.core import tf_op_layer
from tf_keras.src.layers.core.tf_op_layer import SlicingOpLambda, TFOpLambda
from tf_keras.src.layers.preprocessing import index_lookup
from tf_keras.src.layers.rnn import cell_wrappers
from tf_keras.src.metrics import accuracy_metrics, regression_metrics
from tf_keras.src.optimizers.schedules import learning_rate_schedule
from tf_keras.src.saving import object_registration
from tf_keras.src.saving.legacy.saved_model import json_utils

# Saving traces a layer in training too, also where nothing trains it.
from tf_keras.src.saving.legacy.saved_model.utils import in_tf_saved_model_scope

# Refusing lambdas in all formats, and finding a class as Keras itself will.
from tf_keras.src.saving.serialization_lib import SafeModeScope
from tf_keras.src.saving.serialization_lib import _retrieve_class_or_fn as retrieve_class_or_fn


def objects_in_scope() -> dict[str, Any]:
    """Returns what a `custom_object_scope` has registered in this thread."""
    return object_registration._THREAD_LOCAL_CUSTOM_OBJECTS.__dict__


# -- models and calls ----------------------------------------------------------------------------


def is_graph_network(model: Any) -> bool:
    """Tells whether a model holds the graph of its layers' calls: no public name says so."""
    return getattr(model, "_is_graph_network", False)


def calls_in_order(model: keras.Model) -> Iterator[Any]:
    """Yields the calls (nodes) of a model's layers in the order in which the model makes them."""
    for depth in sorted(model._nodes_by_depth, reverse=True):
        yield from model._nodes_by_depth[depth]


def structures(model: keras.Model) -> tuple[Any, Any]:
    """Returns a model's inputs and outputs as they were nested; `inputs`, `outputs` are flat."""
    return model._nested_inputs, model._nested_outputs


def in_reference_order(model: keras.Model, inputs: Any) -> list[Any]:
    """Flattens what a model is called with, a dict by name, say, in the order of its inputs."""
    return model._flatten_to_reference_inputs(inputs)


def conformed(model: keras.Model, inputs: Any) -> list[Any]:
    """Returns what a model is called with as tensors of its inputs' types and ranks, in order."""
    values = map(tf.convert_to_tensor, in_reference_order(model, inputs))
    pairs = zip(values, model.inputs, strict=True)
    return [model._conform_to_reference_input(value, tensor) for value, tensor in pairs]


def sequence_mask(tensor: Any) -> Any:
    """Returns the mask of a tensor's time steps, which Keras hands from layer to layer, or None."""
    return getattr(tensor, "_keras_mask", None)


def with_sequence_mask(tensor: Any, mask: Any) -> Any:
    """Returns a tensor with such a mask."""
    tensor = tf.identity(tensor)
    tensor._keras_mask = mask
    return tensor


def add_calls(model: keras.Model, calls: list[Any]) -> None:
    """Adds calls that no output depends on, as `add_loss` and `add_metric` make them."""
    model._insert_layers([call.layer for call in calls], calls)


def share_trainable(model: Any, other: Any) -> None:
    """Gives a model another's own flag; the public setter would overrule the layers inside."""
    model._trainable = other._trainable


# -- layers --------------------------------------------------------------------------------------


def expects_training(layer: Any) -> bool:
    """Tells whether a layer's call takes `training`: Keras found that out when it was made."""
    return layer._expects_training_arg


def expects_mask(layer: Any) -> bool:
    """Tells whether a layer's call takes `mask`; for a Lambda, whether its function does."""
    return getattr(layer, "_fn_expects_mask_arg", layer._expects_mask_arg)


def parts(layer: Any) -> list[Any]:
    """Lists a layer and all layers in it, however deep: `submodules` leaves lists out."""
    return list(layer._flatten_layers())


@contextlib.contextmanager
def losses_as_they_were(layer: Any) -> Iterator[None]:
    """Puts back the losses that a layer has kept of its calls, which calling it again would add."""
    inside = parts(layer)
    before = [(list(part._losses), list(part._eager_losses)) for part in inside]
    yield
    for part, (symbolic, eager) in zip(inside, before, strict=True):
        part._losses, part._eager_losses = symbolic, eager


def loss_functions(layer: Any) -> list[Callable[[], Any]]:
    """Lists what a layer computes its regularisation losses with: `losses` has their values."""
    return layer._callable_losses


def own_metrics(layer: Any) -> list[Any]:
    """Returns the list of metrics that a layer shows itself; `metrics` adds those inside it."""
    return layer._metrics


def declared_input_shape(layer: Any) -> tuple[int | None, ...] | None:
    """Returns the batch input shape that a layer was given, which its config repeats."""
    return getattr(layer, "_batch_input_shape", None)


def declare_input_shape(layer: Any, shape: tuple[int | None, ...]) -> None:
    """Replaces that shape; Keras takes it in the constructor alone."""
    layer._batch_input_shape = shape


def declared_output_shape(layer: keras.layers.Lambda) -> Any:
    """Returns a Lambda's `output_shape`, which its config has as code."""
    return layer._output_shape


def replace_constraint(variable: Any, constraint: Any) -> None:
    """Gives a variable another constraint; Keras takes it in `add_weight` alone."""
    variable._constraint = constraint


def without_autocast(variable: Any) -> Any:
    """Returns the variable that mixed precision wraps, in its own type."""
    if not hasattr(variable, "true_dtype"):
        return variable
    return getattr(variable, "_variable", variable)


def backward_config(layer: Any) -> dict[str, Any] | None:
    """Returns the config of its backward layer that a Bidirectional keeps a copy of."""
    return getattr(layer, "_backward_layer_config", None)


def replace_backward_config(layer: Any, config: dict[str, Any]) -> None:
    """Replaces that copy, which `get_config` repeats."""
    layer._backward_layer_config = config


# -- optimizers ----------------------------------------------------------------------------------


def place_of(optimizer: Any, variable: tf.Variable) -> int | None:
    """Returns where an optimizer keeps its state of a variable in each of its lists."""
    return optimizer._index_dict.get(optimizer._var_key(variable))


def is_built(optimizer: Any) -> bool:
    """Tells whether an optimizer has made its state."""
    return hasattr(optimizer, "_index_dict")


def places(optimizer: Any) -> int:
    """Returns how many variables a built optimizer has state of."""
    return len(optimizer._index_dict)


def spared_from_decay(optimizer: Any, variables: list[tf.Variable]) -> tuple[list[bool], Any]:
    """Tells which variables weight decay leaves alone, and the names that were given for that."""
    keys = getattr(optimizer, "_exclude_from_weight_decay", ())
    names = getattr(optimizer, "_exclude_from_weight_decay_names", None)
    return [optimizer._var_key(variable) in keys for variable in variables], names


def learning_rate(optimizer: Any) -> Any:
    """Returns a schedule as it was given; the public property computes its value."""
    return optimizer._learning_rate


def with_learning_rate(optimizer: Any, rate: Any) -> Any:
    """Returns a copy, to be asked for its config, that shares all but the learning rate."""
    twin = copy.copy(optimizer)
    vars(twin)["_learning_rate"] = rate  # past Keras, which would track it for both
    return twin


# -- callbacks -----------------------------------------------------------------------------------


def note_batch(state: Any, batch: int) -> None:
    """Notes the batch at which BackupAndRestore writes a checkpoint, in what it keeps of a run."""
    state._ckpt_saved_batch.assign(batch)
