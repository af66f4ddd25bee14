"""The rules of layers for sequences. A recurrent layer's units are channels like any others."""

from __future__ import annotations

from typing import Any

import numpy as np
import tf_keras as keras

from keras_spp.channels import Labels, Reason, Tensor
from keras_spp.kernel_rules import fold
from keras_spp.layer_rules import channel_axis, why_not_elementwise
from keras_spp.rules import Call, count, find, rule, tensors_in

L = keras.layers


def cell(call: Call, layer: Any, x: Tensor) -> Labels:
    """Kernel (..., in, gates * units), recurrent kernel (..., units, gates * units).

    A unit is seen by the recurrent kernel and by what comes behind: where all of these lose it,
    its gates and its state concern nobody.
    """
    inner = layer.cell
    call.reads(inner.kernel, -2, call.vector(x))
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
        call.costs(kernel, (x.shape[1], *call.shapes[0][-1 - dimensions : -1]))
    return units


def _activations(inner: Any) -> list[Any]:
    return [inner.activation, getattr(inner, "recurrent_activation", None)]


def _followed(layer: Any) -> bool:
    """Whether a recurrent layer's tensors have (batch, time, ..., channels)."""
    return not getattr(layer, "time_major", False) and channel_axis(layer) == -1


@rule(L.SimpleRNN, L.GRU, L.LSTM, L.ConvLSTM1D, L.ConvLSTM2D, L.ConvLSTM3D)
def recurrent(call: Call, inputs: Any, **options: Any) -> list[Labels]:
    """The sequence or its end, then the states; given states are as wide as the units."""
    x, *states = tensors_in(inputs, options)
    if not _followed(call.layer) or call.layer._num_constants:
        return call.opaque([x, *states], Reason.SHAPE)
    units = cell(call, call.layer, x)
    for state in states:
        call.channels.tie(call.vector(state), units)
    call.resize("filters" if hasattr(call.layer, "filters") else "units", [units], count)
    return [call.place(units, output=number) for number in range(len(call.shapes))]


@rule(L.Bidirectional)
def bidirectional(call: Call, inputs: Any, **options: Any) -> list[Labels]:
    """Two recurrent layers, one behind the other or added up."""
    layer, given = call.layer, tensors_in(inputs, options)
    both = [layer.forward_layer, layer.backward_layer]
    known = all(find(type(part)) is recurrent and _followed(part) for part in both)
    if not known or layer.return_state or len(given) > 1:
        return call.opaque(given, Reason.UNKNOWN)
    units = [cell(call, part, given[0]) for part in both]
    config = layer.get_config()
    if "backward_layer" not in config:  # one config describes both
        call.channels.tie(*units)
    for key, labels in zip(("layer", "backward_layer"), units, strict=True):
        if key in config:
            call.resize(key, [labels], lambda keep, part=config[key]: _narrowed(part, keep))
    if layer.merge_mode is None:
        return [call.place(labels, output=number) for number, labels in enumerate(units)]
    if layer.merge_mode == "concat":
        return [call.place(np.concatenate(units))]
    call.channels.tie(*units)
    return [call.place(units[0])]


def _narrowed(layer: dict[str, Any], keep: np.ndarray) -> dict[str, Any]:
    key = "filters" if "filters" in layer["config"] else "units"
    return {**layer, "config": {**layer["config"], key: count(keep)}}


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
