"""The small model that is left of a model when classes of channels go: no training is needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_spp import frameworks
from keras_spp.compensation import kept
from keras_spp.core.channels import Argument
from keras_spp.core.coupling import Coupling
from keras_spp.frameworks.interface import Layer, Model, Variable


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
