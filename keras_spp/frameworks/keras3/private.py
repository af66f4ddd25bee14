"""Every private name of Keras 3 that this library uses, each with its why.

`tests/frameworks/keras3/test_private.py` pins them: when Keras moves something, that test says
what, and this file is the only one to mend.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from typing import Any

import keras

# The mask of a tensor's time steps, which Keras hands from layer to layer.
from keras.src.backend import get_keras_mask as sequence_mask
from keras.src.backend import set_keras_mask

# Whether shapes are inferred.
from keras.src.backend.common.symbolic_scope import in_symbolic_scope

# Whether Flax' modules hold the variables on JAX.
from keras.src.backend.config import is_nnx_enabled
from keras.src.models.functional import Functional  # the class of models with a graph

__all__ = ["sequence_mask"]


# -- models and calls ----------------------------------------------------------------------------


def functional_like_constructor(kind: type) -> bool:
    """Tells whether a class can be made again as kind(inputs, outputs, name=...).

    Keras 3.12 has a function of this name that takes any constructor without arguments for one.
    """
    return _constructor(kind) == _constructor(Functional)


def _constructor(kind: Any) -> list[str]:
    """Returns the names of what a class is made of."""
    return list(inspect.signature(kind.__init__).parameters)


def functional(model: Any) -> Any:
    """Returns what holds a model's graph, which a Sequential keeps inside; None if nothing does."""
    if isinstance(model, keras.Sequential):
        return model._functional
    return model if isinstance(model, Functional) else None


def structures(model: Any) -> tuple[Any, Any]:
    """Returns a model's inputs and outputs as they were nested; `inputs`, `outputs` are flat."""
    graph = functional(model)  # a Sequential that has not been called has no `input`
    return graph.input, graph.output


def calls_in_order(model: Any) -> Iterator[Any]:
    """Yields the calls (nodes) of a model's operations in the order in which the model makes them.

    Public properties leave functions out, and tell no arguments.
    """
    by_depth = functional(model)._nodes_by_depth
    for depth in sorted(by_depth, reverse=True):
        yield from by_depth[depth]


def origin(tensor: Any) -> tuple[Any, int, int]:
    """Returns the operation that makes a symbolic tensor, which call of it, and which output."""
    return tensor._keras_history


def call_of(operation: Any, number: int) -> Any:
    """Returns one of the calls of an operation."""
    return operation._inbound_nodes[number]


def consumers(operation: Any) -> list[Any]:
    """Lists what the outputs of an operation go to."""
    return [node.operation for node in operation._outbound_nodes]


def is_called(operation: Any) -> bool:
    """Tells whether calls of an operation are known."""
    return bool(operation._inbound_nodes)


def uncalled(operation: Any) -> Any:
    """Returns a copy of a function with all that it holds, of which no calls are known.

    `copy.copy` would save and load it, which is what such a function does not allow.
    """
    twin = object.__new__(type(operation))
    vars(twin).update(vars(operation))
    twin._inbound_nodes, twin._outbound_nodes = [], []
    return twin


def conformed(model: Any, inputs: Any) -> list[Any]:
    """Returns what a model is called with as tensors of its inputs' types and ranks, in order."""
    return functional(model)._standardize_inputs(inputs)


def share_trainable(model: Any, other: Any) -> None:
    """Gives a model another's own flag; the public setter would overrule the layers inside."""
    model._trainable = other._trainable


# -- layers --------------------------------------------------------------------------------------


def expects_training(layer: Any) -> bool:
    """Tells whether a layer's call takes `training`: Keras found that out when it was made."""
    return bool(getattr(layer, "_call_has_training_arg", False))


def expects_mask(layer: Any) -> bool:
    """Tells whether a layer's call takes `mask`; for a Lambda, whether its function does."""
    takes = getattr(layer, "_call_has_mask_arg", False)
    return bool(getattr(layer, "_fn_expects_mask_arg", takes))


def parts(layer: Any) -> list[Any]:
    """Lists a layer and all layers in it, however deep."""
    return list(layer._flatten_layers())


def declared_output_shape(layer: Any) -> Any:
    """Returns a Lambda's `output_shape`, which its config has as code."""
    return layer._output_shape


@contextlib.contextmanager
def losses_as_they_were(layer: Any) -> Iterator[None]:
    """Puts back the losses that a layer has kept of its last call, which another one replaces."""
    inside = parts(layer)
    before = [list(part._losses) for part in inside]
    yield
    for part, losses in zip(inside, before, strict=True):
        part._losses[:] = losses


def with_sequence_mask(tensor: Any, mask: Any) -> Any:
    """Returns a tensor with the mask of its time steps."""
    set_keras_mask(tensor, mask)
    return tensor


# -- optimizers ----------------------------------------------------------------------------------


def slots(optimizer: Any, variable: Any) -> dict[str, Any]:
    """Finds what an optimizer keeps of a weight: it holds lists in the order of its weights."""
    own = optimizer._trainable_variables
    places = [place for place, other in enumerate(own) if other is variable]
    return {
        name: value[places[0]]
        for name, value in vars(optimizer).items()
        if places
        and name != "_trainable_variables"
        and isinstance(value, list)
        and len(value) == len(own)
        and isinstance(value[places[0]], keras.Variable)
    }


def schedule_of(optimizer: Any) -> Any:
    """Returns an optimizer's schedule of learning rates; None if its rate is a number."""
    rate = optimizer._learning_rate
    return rate if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule) else None


def config_without_schedule(optimizer: Any) -> dict[str, Any]:
    """Returns an optimizer's config without asking its schedule for one, which may have none."""
    schedule, optimizer._learning_rate = optimizer._learning_rate, 0.0
    try:
        return optimizer.get_config()
    finally:
        optimizer._learning_rate = schedule


def is_spared_from_decay(optimizer: Any, variable: Any) -> bool:
    """Tells whether weight decay leaves a variable alone, however it was named."""
    return not optimizer._use_weight_decay(variable)


# -- training ------------------------------------------------------------------------------------


def loss_of_outputs(model: Any, outputs: Any, targets: Any, weights: Any = None) -> Any:
    """Returns the loss that a model is compiled with, without what its layers add to it."""
    return model._compile_loss(targets, outputs, weights)


def begin_with_epoch(model: Any, epoch: int | None) -> None:
    """Has `fit` begin with an epoch; None: with the one that it is told."""
    model._initial_epoch = epoch


def is_symbolic() -> bool:
    """Tells whether a layer is called to find out shapes, not to compute."""
    return in_symbolic_scope()


def uses_nnx() -> bool:
    """Tells whether JAX' other way to hold variables is on, whose steps are those of the class."""
    return is_nnx_enabled()


def replicas(model: Any = None) -> int:
    """Counts the devices on which TensorFlow trains a model, or what is made now, together."""
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    strategy = tf.distribute.get_strategy() if model is None else model.distribute_strategy
    return strategy.num_replicas_in_sync


def not_converted(function: Any) -> Any:
    """Returns a function whose code TensorFlow traces as it is, without reading it."""
    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    return tf.autograph.experimental.do_not_convert(function)
