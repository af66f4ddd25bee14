"""`spp.shrink`: the smaller plain model that computes what the pruned one computes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_spp import frameworks
from keras_spp.analysis.provenance import remember, summary
from keras_spp.compensation import kept
from keras_spp.core.channels import Argument
from keras_spp.core.coupling import Coupling
from keras_spp.frameworks.interface import Layer, Model, Variable
from keras_spp.training.state import State


def shrink(model: Model) -> Model:
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
    framework = frameworks.of(model, tf_keras_for="pruning while it trains")
    state = State(model)
    if missing := state.missing():
        warnings.warn(
            f"shrink: {missing} groups are still to be pruned; the result is exact but larger "
            f"than the target.",
            stacklevel=2,
        )
    small = shrunk_to(model, state.coupling, state.dead())
    conductor = state.conductor
    sizes = framework.sizes_that_fit(model, conductor.input_sizes)
    last = summary(model, state.coupling, sizes)
    remember(small, conductor.origin or last, last)
    return small


def sliced(coupling: Coupling, dead: np.ndarray, variable: Any, array: np.ndarray) -> np.ndarray:
    """Cuts the dead channels out of an array of a variable's shape."""
    for axis in range(array.ndim):
        labelled = coupling.channels.axes.get((id(variable), axis))
        if labelled is not None:
            array = np.compress(coupling.keep(labelled.labels, dead), array, axis)
    return array


def shrunk_to(
    model: Model,
    coupling: Coupling,
    dead: np.ndarray,
    factors: Mapping[int, np.ndarray] | None = None,
) -> Model:
    """Returns the model without the dead classes of channels; other weights stay as they are.

    Args:
        model: A pruned model, whose keep probabilities are multiplied into its weights, or a plain
            one. It is not modified.
        coupling: Its channels.
        dead: Which classes go, shape (classes,).
        factors: What weights are multiplied with, by their ids; None for the keep probabilities.
    """
    framework = frameworks.of(model)
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

    def make_layer(layer: Layer) -> Layer:
        layer = framework.unwrap(layer)
        changes = edits.get(id(layer), {})
        config = {key: value for key, value in changes.items() if isinstance(key, str)}
        kind = framework.plain_class(layer)
        return framework.clone(layer, config, kind, id(layer) in resized)

    def edit_call(layer: Layer, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        arguments: dict[Any, Any] = {**dict(enumerate(args)), **kwargs}
        for place, value in edits.get(id(layer), {}).items():
            if not isinstance(place, Argument):
                continue
            if place.entry is None:
                arguments[place.name] = value
            else:
                entries = list(arguments[place.name])
                entries[place.entry] = value
                arguments[place.name] = entries
        positional = tuple(arguments[at] for at in range(len(args)))
        return positional, {name: arguments[name] for name in kwargs}

    multiplied = framework.keep_probabilities(model) if factors is None else factors

    def value(layer: Layer, variable: Variable) -> np.ndarray:
        array = framework.read(variable)
        if id(variable) in multiplied:
            array = array * multiplied[id(variable)].astype(array.dtype)
        return sliced(coupling, dead, variable, array)

    small = framework.rebuild(model, make_layer, edit_call)
    framework.copy_weights(model, small, value)
    framework.declare_inputs(small)
    kept.remember(small, model, coupling, dead)
    return small
