"""Rules of TensorFlow functions that take a part of a tensor: brackets, slices, gather."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_spp.core.call import Call, Refused, tensors_in
from keras_spp.core.channels import Labels, Reason, Tensor
from keras_spp.core.common_rules import count, counted
from keras_spp.frameworks.tensorflow.sizes import OPEN_SIZE
from keras_spp.frameworks.tf_keras.op_rules.brackets import as_item, as_slices, without_dots
from keras_spp.frameworks.tf_keras.op_rules.moves import moved_by
from keras_spp.frameworks.tf_keras.op_rules.registry import Arguments, function, key
from keras_spp.rules.functions import chosen_places, indexed


@function("__operators__.getitem")
def getitem(call: Call, arguments: Arguments) -> Any:
    """Records the ends of a contiguous slice of channels; refuses other indices of channels."""
    x, spec = arguments["tensor"], arguments["slice_spec"]
    items = without_dots(spec, len(x.shape))
    if tensors_in(items):
        raise Refused(Reason.SHAPE)
    argument = key(arguments, "slice_spec")

    def record(place: int, labels: Sequence[Labels], value: Callable[..., Any]) -> None:
        def edited(*keep: np.ndarray) -> tuple:
            return tuple(
                as_item(value(*keep)) if i == place else old for i, old in enumerate(items)
            )

        call.resize(argument, labels, edited)

    return indexed(call, x, as_slices(items), OPEN_SIZE, record)


@function("gather", "compat.v1.gather", "gather_v2")
def gather(call: Call, arguments: Arguments) -> Any:
    """Records a constant choice of channels, which becomes the places of the survivors."""
    x, indices = arguments["params"], arguments["indices"]
    axis = int(arguments.get("axis") or 0) % (len(x.shape) if isinstance(x, Tensor) else 1)
    plain = not tensors_in(indices) and not arguments.get("batch_dims") and np.ndim(indices) == 1
    if not plain or axis == 0 or (moved := moved_by(call, x, arguments, "params")) is None:
        raise Refused(Reason.SHAPE)
    if axis in x.varying:
        places = chosen_places(np.asarray(indices))
        call.resize(key(arguments, "indices"), [call.vector(x, axis)], places)
    return moved[0]


@function("slice")
def slice_from(call: Call, arguments: Arguments) -> Any:
    """Records the begin and size of a slice."""
    x, begin, size = (arguments[name] for name in ("input_", "begin", "size"))
    constant = isinstance(x, Tensor) and not tensors_in(begin, size)
    if not constant or (moved := moved_by(call, x, arguments, "input_")) is None:
        raise Refused(Reason.SHAPE)
    for axis in x.varying:
        vector, first = call.vector(x, axis), int(begin[axis])
        taken = vector[first:] if size[axis] == -1 else vector[first : first + int(size[axis])]
        call.resize(key(arguments, "begin", axis), [vector[:first]], count)
        if size[axis] != -1:
            call.resize(key(arguments, "size", axis), [taken], count)
    return moved[0]


@function("strided_slice")
def strided_slice(call: Call, arguments: Arguments) -> Any:
    """Records the begin and end of a slice that neither drops nor adds an axis."""
    x, begin, end = (arguments[name] for name in ("input_", "begin", "end"))
    others = [arguments.get(f"{name}_mask") for name in ("ellipsis", "new_axis", "shrink_axis")]
    constant = isinstance(x, Tensor) and not tensors_in(begin, end) and not any(others)
    if not constant or (moved := moved_by(call, x, arguments, "input_")) is None:
        raise Refused(Reason.SHAPE)
    strides = arguments.get("strides")
    for axis in x.varying:
        vector = call.vector(x, axis)
        if axis >= len(begin):
            continue
        if strides is not None and int(strides[axis]) != 1:
            raise Refused(Reason.SHAPE)
        for name, positions in (("begin", begin), ("end", end)):
            if not int(arguments.get(f"{name}_mask") or 0) >> axis & 1:
                place = slice(int(positions[axis]), None).indices(len(vector))[0]
                call.resize(key(arguments, name), [vector[:place]], counted(list(positions), axis))
    return moved[0]
