"""Every private name of tf_keras, tfmot and TensorFlow that this library uses, each with its why.

`tests/frameworks/test_private.py` pins them: when one of the three moves something, that test says
what, and this file is the only one to mend.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf
import tf_keras as keras

# The checker of saved models knows which symbols TensorFlow exports under which names.
# tfmot exports its wrappers by functions alone, which know a fixed list of layers.
# Names that a file may give for what it holds: Keras looks them up in these modules.

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
    losses = [(list(part._losses), list(part._eager_losses)) for part in inside]
    yield
    for part, (symbolic, eager) in zip(inside, losses, strict=True):
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
    return variable._variable if hasattr(variable, "true_dtype") else variable


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


@contextlib.contextmanager
def with_learning_rate(optimizer: Any, rate: Any) -> Iterator[None]:
    """Lets an optimizer have another learning rate, without a state of its own, for a while."""
    before = optimizer._learning_rate
    optimizer._learning_rate = rate
    try:
        yield
    finally:
        optimizer._learning_rate = before
