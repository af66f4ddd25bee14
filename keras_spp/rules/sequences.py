"""Rules of layers for sequences. A recurrent layer's units are channels like any others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_spp.core.call import Call, flatten, tensors_in
from keras_spp.core.channels import Labels, Reason, Tensor
from keras_spp.core.common_rules import count
from keras_spp.core.kinds import is_a, own_name
from keras_spp.core.rule import find, keras_rule
from keras_spp.rules.activations import why_not_elementwise
from keras_spp.rules.channelwise import channel_axis
from keras_spp.rules.kernels import fold

_CELLS = frozenset({"SimpleRNNCell", "GRUCell", "LSTMCell"})


def cell(call: Call, inner: Any, labels: Labels, steps: int | None) -> Labels:
    """Records a kernel (..., in, gates * units) and a recurrent one (..., units, gates * units).

    The recurrent kernel and later layers read a unit. When none of them reads it any more, its
    gates and its state can go.
    """
    call.reads(inner.kernel, -2, labels)
    written = call.writes(inner.kernel, -1)
    units = fold(call, written, inner.kernel.shape[-1] // inner.recurrent_kernel.shape[-2])
    call.reads(inner.recurrent_kernel, -2, units)
    call.follows(inner.recurrent_kernel, -1, written)
    call.follows(inner.bias, -1, written)
    for activation in _activations(inner):
        if (reason := why_not_elementwise(call, activation)) is not None:
            call.freeze(units, reason)
    dimensions = len(inner.kernel.shape) - 2  # a convolutional cell computes at every position
    for kernel in (inner.kernel, inner.recurrent_kernel):
        call.costs(kernel, (steps, *call.shapes[0][-1 - dimensions : -1]))
    return units


def _activations(inner: Any) -> list[Any]:
    return [inner.activation, getattr(inner, "recurrent_activation", None)]


def _cells(layer: Any) -> list[Any]:
    """Returns the cells of a recurrent layer in order; none if one of them is unknown."""
    cells = layer.cell.cells if is_a(layer.cell, "StackedRNNCells") else [layer.cell]
    if own_name(type(layer)) != "RNN":  # the layer's own
        return list(cells)
    return list(cells) if all(own_name(type(inner)) in _CELLS for inner in cells) else []


def _is_covered(layer: Any) -> bool:
    """Tells whether these rules cover a recurrent layer: tensors (batch, time, ..., channels)."""
    has_rule = find(type(layer)) is recurrent and bool(_cells(layer))
    return has_rule and not getattr(layer, "time_major", False) and channel_axis(layer) == -1


def _states(layer: Any, units: list[Labels]) -> list[Labels]:
    """Returns the units of each state of a recurrent layer, in its order."""
    states = [
        [labels] * len(flatten(inner.state_size))
        for inner, labels in zip(_cells(layer), units, strict=True)
    ]
    if getattr(layer.cell, "reverse_state_order", False):
        states.reverse()
    return [labels for of_cell in states for labels in of_cell]


def _apply_cells(call: Call, layer: Any, x: Tensor) -> list[Labels]:
    """Applies the rule of each of a recurrent layer's cells and returns the units of each."""
    units, labels = [], call.vector(x)
    for inner in _cells(layer):
        units.append(labels := cell(call, inner, labels, x.shape[1]))
    return units


@keras_rule("RNN", "SimpleRNN", "GRU", "LSTM", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D")
def recurrent(call: Call, inputs: Any, mask: Any = None, **options: Any) -> list[Labels]:
    """Returns the labels of the sequence or its end, then of the states, tied to initial states."""
    layer, (x, *initial) = call.layer, tensors_in(inputs, options)
    if not _is_covered(layer) or call.framework.config(layer).get("num_constants"):
        return call.opaque([x, *initial, *tensors_in(mask)], Reason.SHAPE)
    units = _apply_cells(call, layer, x)
    states = _states(layer, units)
    _tie_states(call, states, initial, inputs, options, mask)
    if own_name(type(layer)) == "RNN":
        config = call.framework.config(layer)["cell"]
        call.resize("cell", units, lambda *keep: _narrowed_cell(config, keep))
    else:
        call.resize("filters" if hasattr(layer, "filters") else "units", units, count)
    outputs = [units[-1], *(states if layer.return_state else [])]
    return [call.place(labels, output=number) for number, labels in enumerate(outputs)]


def _tie_states(
    call: Call, states: list[Labels], initial: list[Tensor], inputs: Any, options: Any, mask: Any
) -> None:
    """Ties the states with which a layer is called to its units; constants keep their size."""
    constants = [
        value
        for value in flatten((inputs, options))
        if not isinstance(value, Tensor) and np.ndim(value) > 0
    ]
    if constants or len(initial) not in (0, len(states)):
        for labels in [*states, *(state.labels for state in initial)]:
            call.freeze(labels, Reason.SHAPE)
    else:
        for state, labels in zip(initial, states, strict=False):
            call.channels.tie(call.vector(state), labels)
    for steps in tensors_in(mask):
        call.freeze(steps.labels, Reason.MIXES)


@keras_rule("Bidirectional")
def bidirectional(call: Call, inputs: Any, mask: Any = None, **options: Any) -> list[Labels]:
    """Concatenates or merges the units of two recurrent layers; then come their states."""
    layer, (x, *initial) = call.layer, tensors_in(inputs, options)
    directions = [layer.forward_layer, layer.backward_layer]
    if not all(map(_is_covered, directions)) or call.framework.config(layer).get("num_constants"):
        return call.opaque([x, *initial, *tensors_in(mask)], Reason.UNKNOWN)
    units = [_apply_cells(call, part, x) for part in directions]
    states = [
        labels
        for part, of_part in zip(directions, units, strict=True)
        for labels in _states(part, of_part)
    ]
    _tie_states(call, states, initial, inputs, options, mask)
    config = call.framework.config(layer)
    if "backward_layer" not in config:  # one config describes both
        for pair in zip(*units, strict=True):
            call.channels.tie(*pair)
    for key, labels in zip(("layer", "backward_layer"), units, strict=True):
        if key in config:
            call.resize(key, labels, lambda *keep, part=config[key]: _narrowed(part, keep))
    made = [of_part[-1] for of_part in units]
    if layer.merge_mode == "concat":
        made = [np.concatenate(made)]
    elif layer.merge_mode is not None:
        call.channels.tie(*made)
        made = made[:1]
    outputs = [*made, *(states if layer.return_state else [])]
    return [call.place(labels, output=number) for number, labels in enumerate(outputs)]


def _narrowed(layer: dict[str, Any], keep: Sequence[np.ndarray]) -> dict[str, Any]:
    """Returns a recurrent layer's config with fewer units, from a keep-vector for each cell."""
    config = dict(layer["config"])
    if "cell" in config:
        config["cell"] = _narrowed_cell(config["cell"], keep)
    else:
        config["filters" if "filters" in config else "units"] = count(keep[0])
    return {**layer, "config": config}


def _narrowed_cell(cell: dict[str, Any], keep: Sequence[np.ndarray]) -> dict[str, Any]:
    """Returns the config of a cell, or of stacked ones, with fewer units."""
    config = cell["config"]
    if "cells" not in config:
        return {**cell, "config": {**config, "units": count(keep[0])}}
    cells = [
        _narrowed_cell(inner, [kept]) for inner, kept in zip(config["cells"], keep, strict=True)
    ]
    return {**cell, "config": {**config, "cells": cells}}


@keras_rule("Embedding")
def embedding(call: Call, x: Tensor, **_: Any) -> Labels:
    """Records a table (words, out), which makes channels and multiplies nothing."""
    call.freeze(x.labels, Reason.MIXES)
    out = call.writes(call.layer.embeddings, 1)
    call.resize("output_dim", [out], count)
    return call.place(out)


@keras_rule("MultiHeadAttention", "GroupedQueryAttention", "Attention", "AdditiveAttention")
def attention(call: Call, *inputs: Any, **options: Any) -> list[Labels]:
    """Freezes the inputs: every position reads all channels of the others."""
    call.channels.leave_to_measure(call.layer)
    return call.opaque(tensors_in(inputs, options), Reason.MIXES)
