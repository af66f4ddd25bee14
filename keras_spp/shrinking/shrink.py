"""`spp.shrink`: the smaller plain model that computes what the pruned one computes."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_spp import frameworks
from keras_spp.analysis.provenance import remember, summary
from keras_spp.core.channels import Argument
from keras_spp.core.coupling import Coupling
from keras_spp.frameworks.tf_keras import private
from keras_spp.frameworks.tf_keras.clone import clone_layer
from keras_spp.frameworks.tf_keras.graph import find_wrappers, layers
from keras_spp.frameworks.tf_keras.inputs import sizes_that_fit
from keras_spp.frameworks.tf_keras.layers import plain_class
from keras_spp.frameworks.tf_keras.rebuilding import copy_weights, rebuild
from keras_spp.frameworks.tf_keras.variables import host
from keras_spp.frameworks.tf_keras.wrapper import unwrap
from keras_spp.training.state import State


def shrink(model: keras.Model) -> keras.Model:
    """Removes what is pruned: every layer gets the size of what survives.

    A channel goes, with its filter, bias, normalisation and depthwise kernel, when every layer
    that reads it has pruned it; then nothing downstream can see it, so the result's outputs
    equal those of `model(x, training=False)`. Keep probabilities of groups that are not decided
    yet are multiplied into the weights, so this holds for an unfinished model too.

    Args:
        model: What `spp.prune` returned, trained; it is not modified.

    Returns:
        A plain tf_keras model, not compiled, that loads without keras_spp. Columns of kernels
        that are pruned while their channel lives stay as zeros.

    Raises:
        TypeError: If `model` is no tf_keras model.
        ValueError: If it is not pruned.

    Warns:
        UserWarning: If pruning has not met its target yet.

    Example:
        >>> import tf_keras as keras, keras_spp as spp
        >>> model = keras.Sequential([
        ...     keras.Input((4,)), keras.layers.Dense(32), keras.layers.Dense(2)])
        >>> pruned = spp.prune(model, pruning_ratio=0.5)
        >>> [type(layer).__name__ for layer in shrink(pruned).layers]
        ['Dense', 'Dense']
    """
    frameworks.of(model)
    state = State(model)
    if missing := state.missing():
        warnings.warn(
            f"shrink: {missing} groups are still to be pruned; the result is exact but larger "
            f"than the target.",
            stacklevel=2,
        )
    small = shrunk_to(model, state.coupling, state.dead())
    conductor = state.conductor
    last = summary(model, state.coupling, sizes_that_fit(model, conductor.input_sizes))
    remember(small, conductor.origin or last, last)
    return small


def sliced(coupling: Coupling, dead: np.ndarray, variable: Any, array: np.ndarray) -> np.ndarray:
    """An array of a variable's shape without the dead channels."""
    for axis in range(array.ndim):
        labelled = coupling.channels.axes.get((id(variable), axis))
        if labelled is not None:
            array = np.compress(coupling.keep(labelled.labels, dead), array, axis)
    return array


def shrunk_to(model: keras.Model, coupling: Coupling, dead: np.ndarray) -> keras.Model:
    """Returns the model without the dead classes of channels; other weights stay as they are.

    Args:
        model: A pruned model, whose keep probabilities are multiplied into its weights, or a plain
            one. It is not modified.
        coupling: Its channels.
        dead: Which classes go, shape (classes,).
    """
    edits: dict[int, dict[str | Argument, Any]] = {}
    for edit in coupling.channels.edits.values():
        keeps = [coupling.keep(labels, dead) for labels in edit.labels]
        if not all(keep.all() for keep in keeps):
            edits.setdefault(id(edit.layer), {})[edit.key] = edit.value(*keeps)

    resized = {
        id(axis.layer)
        for axis in coupling.channels.axes.values()
        if not coupling.keep(axis.labels, dead).all()
    }

    def make_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
        layer = unwrap(layer)
        changes = edits.get(id(layer), {})
        config = {key: value for key, value in changes.items() if isinstance(key, str)}
        return clone_layer(layer, config, plain_class(layer), id(layer) in resized)

    def edit_call(layer: keras.layers.Layer, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        given: dict[Any, Any] = {**dict(enumerate(args)), **kwargs}
        for place, value in edits.get(id(layer), {}).items():
            if not isinstance(place, Argument):
                continue
            if place.entry is None:
                given[place.name] = value
            else:
                entries = list(given[place.name])
                entries[place.entry] = value
                given[place.name] = entries
        return tuple(given[at] for at in range(len(args))), {name: given[name] for name in kwargs}

    kept = {
        id(masked.weight): masked.spread(wrapper.expected()).numpy()
        for wrapper in find_wrappers(model)
        for masked in wrapper.masked
    }

    def value(layer: keras.layers.Layer, variable: tf.Variable) -> np.ndarray:
        array = host(variable)
        if id(variable) in kept:
            array = array * kept[id(variable)].astype(array.dtype)
        return sliced(coupling, dead, variable, array)

    small = rebuild(model, make_layer, edit_call)
    copy_weights(model, small, value)
    for layer in layers(small):
        _declare_input(layer)
    return small


def _declare_input(layer: keras.layers.Layer) -> None:
    """An `input_shape` that a layer's config still has becomes that of the small model."""
    declared: tuple[int | None, ...] = private.declared_input_shape(layer) or ()
    given = layer.inbound_nodes[0].keras_inputs if layer.inbound_nodes else []
    # `input_dim` tells the last of several dimensions.
    if len(given) == 1 and 1 < len(declared) <= len(given[0].shape):
        sizes = zip(declared[1:], given[0].shape[1 - len(declared) :], strict=True)
        shape = declared[0], *(size and now for size, now in sizes)
        private.declare_input_shape(layer, shape)
