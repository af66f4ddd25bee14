"""The rules of layers for sequences. A recurrent layer's units are channels like any others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_spp.core.channels import Labels, Reason, Tensor
from keras_spp.core.rule import Call, count, find, rule, tensors_in
from keras_spp.frameworks.tf_keras.clone import read_config
from keras_spp.rules.channelwise import channel_axis, why_not_elementwise
from keras_spp.rules.kernels import fold

L = keras.layers


def cell(call: Call, inner: Any, labels: Labels, steps: int | None) -> Labels:
    """Kernel (..., in, gates * units), recurrent kernel (..., units, gates * units).

    A unit is seen by the recurrent kernel and by what comes behind: where all of these lose it,
    its gates and its state concern nobody.
    """
    call.reads(inner.kernel, -2, labels)
    written = call.writes(inner.kernel, -1)
    units = fold(call, written, inner.kernel.shape[-1] // inner.recurrent_kernel.shape[-2])
    call.reads(inner.recurrent_kernel, -2, units)
    call.follows(inner.recurrent_kernel, -1, written)
    call.follows(inner.bias, -1, written)
    for activation in _activations(inner):
        if (reason := why_not_elementwise(activation)) is not None:
            call.freeze(units, reason)
    dimensions = len(inner.kernel.shape) - 2  # a convolutional cell computes at every position
    for kernel in (inner.kernel, inner.recurrent_kernel):
        call.costs(kernel, (steps, *call.shapes[0][-1 - dimensions : -1]))
    return units


def _activations(inner: Any) -> list[Any]:
    return [inner.activation, getattr(inner, "recurrent_activation", None)]


def _cells(layer: Any) -> list[Any]:
    """The cells of a recurrent layer, the first one's first; none if one of them is unknown."""
    cells = layer.cell.cells if isinstance(layer.cell, L.StackedRNNCells) else [layer.cell]
    if type(layer) is not L.RNN:  # the layer's own
        return list(cells)
    return list(cells) if all(type(inner) in _CELLS for inner in cells) else []


_CELLS = (L.SimpleRNNCell, L.GRUCell, L.LSTMCell)


def _followed(layer: Any) -> bool:
    """Whether a recurrent layer is known, with tensors (batch, time, ..., channels)."""
    known = find(type(layer)) is recurrent and bool(_cells(layer))
    return known and not layer.time_major and channel_axis(layer) == -1


def _states(layer: Any, units: list[Labels]) -> list[Labels]:
    """The units of each state of a recurrent layer, in its order."""
    states = [
        [labels] * len(tf.nest.flatten(inner.state_size))
        for inner, labels in zip(_cells(layer), units, strict=True)
    ]
    if getattr(layer.cell, "reverse_state_order", False):
        states.reverse()
    return [labels for each in states for labels in each]


def _through(call: Call, layer: Any, x: Tensor) -> list[Labels]:
    """The units of each of a recurrent layer's cells."""
    units, labels = [], call.vector(x)
    for inner in _cells(layer):
        units.append(labels := cell(call, inner, labels, x.shape[1]))
    return units


@rule(L.RNN, L.SimpleRNN, L.GRU, L.LSTM, L.ConvLSTM1D, L.ConvLSTM2D, L.ConvLSTM3D)
def recurrent(call: Call, inputs: Any, mask: Any = None, **options: Any) -> list[Labels]:
    """The sequence or its end, then the states; given states are as wide as the units."""
    layer, (x, *given) = call.layer, tensors_in(inputs, options)
    if not _followed(layer) or layer._num_constants:
        return call.opaque([x, *given, *tensors_in(mask)], Reason.SHAPE)
    units = _through(call, layer, x)
    states = _states(layer, units)
    _give_states(call, states, given, inputs, options, mask)
    if type(layer) is L.RNN:
        config = read_config(layer)[0]["cell"]
        call.resize("cell", units, lambda *keep: _narrowed_cell(config, keep))
    else:
        call.resize("filters" if hasattr(layer, "filters") else "units", units, count)
    outputs = [units[-1], *(states if layer.return_state else [])]
    return [call.place(labels, output=number) for number, labels in enumerate(outputs)]


def _give_states(
    call: Call, states: list[Labels], given: list[Tensor], inputs: Any, options: Any, mask: Any
) -> None:
    """Ties states that a layer is called with to its units; constants keep their size."""
    constants = [
        value
        for value in tf.nest.flatten((inputs, options))
        if not isinstance(value, Tensor) and np.ndim(value) > 0
    ]
    if constants or len(given) not in (0, len(states)):
        for labels in [*states, *(state.labels for state in given)]:
            call.freeze(labels, Reason.SHAPE)
    else:
        for state, labels in zip(given, states, strict=False):
            call.channels.tie(call.vector(state), labels)
    for steps in tensors_in(mask):
        call.freeze(steps.labels, Reason.MIXES)


@rule(L.Bidirectional)
def bidirectional(call: Call, inputs: Any, mask: Any = None, **options: Any) -> list[Labels]:
    """Two recurrent layers, one behind the other or added up; then their states."""
    layer, (x, *given) = call.layer, tensors_in(inputs, options)
    both = [layer.forward_layer, layer.backward_layer]
    if not all(map(_followed, both)) or layer._num_constants:
        return call.opaque([x, *given, *tensors_in(mask)], Reason.UNKNOWN)
    units = [_through(call, part, x) for part in both]
    states = [
        labels for part, each in zip(both, units, strict=True) for labels in _states(part, each)
    ]
    _give_states(call, states, given, inputs, options, mask)
    config = read_config(layer)[0]
    if "backward_layer" not in config:  # one config describes both
        for pair in zip(*units, strict=True):
            call.channels.tie(*pair)
    for key, labels in zip(("layer", "backward_layer"), units, strict=True):
        if key in config:
            call.resize(key, labels, lambda *keep, part=config[key]: _narrowed(part, keep))
    made = [each[-1] for each in units]
    if layer.merge_mode == "concat":
        made = [np.concatenate(made)]
    elif layer.merge_mode is not None:
        call.channels.tie(*made)
        made = made[:1]
    outputs = [*made, *(states if layer.return_state else [])]
    return [call.place(labels, output=number) for number, labels in enumerate(outputs)]


def _narrowed(layer: dict[str, Any], keep: Sequence[np.ndarray]) -> dict[str, Any]:
    """A recurrent layer's config with fewer units, given a keep-vector for each cell."""
    config = dict(layer["config"])
    if "cell" in config:
        config["cell"] = _narrowed_cell(config["cell"], keep)
    else:
        config["filters" if "filters" in config else "units"] = count(keep[0])
    return {**layer, "config": config}


def _narrowed_cell(cell: dict[str, Any], keep: Sequence[np.ndarray]) -> dict[str, Any]:
    """A cell's config, or that of several on top of each other."""
    config = cell["config"]
    if "cells" not in config:
        return {**cell, "config": {**config, "units": count(keep[0])}}
    cells = [
        _narrowed_cell(inner, [kept]) for inner, kept in zip(config["cells"], keep, strict=True)
    ]
    return {**cell, "config": {**config, "cells": cells}}


@rule(L.Embedding)
def embedding(call: Call, x: Tensor, **_: Any) -> Labels:
    """Table (words, out): a look-up that makes channels and multiplies nothing."""
    call.freeze(x.labels, Reason.MIXES)
    out = call.writes(call.layer.embeddings, 1)
    call.resize("output_dim", [out], count)
    return call.place(out)


@rule(L.MultiHeadAttention, L.Attention, L.AdditiveAttention, L.Dot)
def attention(call: Call, *inputs: Any, **options: Any) -> list[Labels]:
    """Every position looks at all channels of the others."""
    call.channels.leave_to_measure(call.layer)
    return call.opaque(tensors_in(inputs, options), Reason.MIXES)
