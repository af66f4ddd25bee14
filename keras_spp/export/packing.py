"""Leaves the pruned columns of convolutions out of an exported file where that is faster."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from keras_spp.devices.device import Device
from keras_spp.export.columns import DENSE, LAYOUTS, PACKED, Convolution, Timed, convolution_of
from keras_spp.frameworks.interface import Layer
from keras_spp.util import progress

GAIN = 1.05  # a layout is taken if it is faster by this factor: less is within the noise

Calls = Sequence[tuple[Layer, Sequence[tuple[int, ...]]]]
# Returns TFLite files of convolutions alone, in a quantization.
Files = Callable[[Sequence[Timed], str], Sequence[bytes | bytearray]]


@dataclass(frozen=True)
class PackedLayer:
    """A convolution with pruned columns.

    Attributes:
        layer: Its name.
        columns: How many are left, and how many the kernel has.
        layout: How the file computes it, one of `columns.LAYOUTS`: "dense" is with the zeros.
        milliseconds: The latency of the layer alone by layout.
    """

    layer: str
    columns: tuple[int, int]
    layout: str
    milliseconds: dict[str, float]

    def __str__(self) -> str:
        left, total = self.columns
        gain = self.milliseconds[DENSE] / self.milliseconds[self.layout]
        return f"{self.layer}: {left} of {total} columns, {self.layout}, {gain:.2f}x"


def decide(
    shapes: Calls, quantization: str, device: Device, files: Files
) -> tuple[tuple[PackedLayer, ...], Mapping[int, str]]:
    """Times each convolution with pruned columns alone, in every layout.

    Args:
        shapes: The layers that `find_pruned` returns, and the shapes with which they are called.
        quantization: How the file will be stored.
        device: Where to measure.
        files: What makes files to be measured.

    Returns:
        A `PackedLayer` for each, and the layouts of those that get faster, by their places among
        the layers.
    """
    calls = {
        place: [_Call(convolution_of(layer), shape, quantization) for shape in of_layer]
        for place, (layer, of_layer) in enumerate(shapes)
        if of_layer and all(len(shape) == 4 and None not in shape for shape in of_layer)
    }
    _measure([call for of_layer in calls.values() for call in of_layer], device, files)
    rows, layouts = [], {}
    for place, of_layer in calls.items():
        total = {
            layout: sum([device.latency(call.keys[layout]) for call in of_layer], 0.0)
            for layout in LAYOUTS
        }
        best = min(PACKED, key=total.__getitem__)
        layout = best if total[best] * GAIN <= total[DENSE] else DENSE
        left, name = of_layer[0].convolution.left, shapes[place][0].name
        rows.append(PackedLayer(name, (int(left.sum()), left.size), layout, total))
        if layout != DENSE:
            layouts[place] = layout
    return tuple(rows), layouts


def _measure(calls: Sequence[_Call], device: Device, files: Files) -> None:
    """Measures the calls that the device does not know yet, the layouts of one side by side."""
    unmeasured = {call.keys[DENSE]: call for call in calls if not device.knows(call.keys.values())}
    if not unmeasured:
        return
    quantization = next(iter(unmeasured.values())).quantization
    timed = [
        Timed(call.convolution, call.shape, layout)
        for call in unmeasured.values()
        for layout in LAYOUTS
    ]
    contents = iter(files(timed, quantization))
    with progress.work("layouts", len(unmeasured)) as timing:
        for call in unmeasured.values():
            with timing.part():
                device.measure({call.keys[layout]: bytes(next(contents)) for layout in LAYOUTS})


@dataclass(frozen=True)
class _Call:
    """One call of a layer, to be timed in every layout."""

    convolution: Convolution
    shape: tuple[int, ...]
    quantization: str

    @functools.cached_property
    def keys(self) -> dict[str, str]:
        """The device's key of each layout, made of which columns are left, not of their values."""
        kernel, strides, dilation_rate, padding = self.convolution
        left, filters = self.convolution.left, kernel.shape[-1]
        settings = (self.shape, left.shape, (filters, strides, dilation_rate, padding))
        content = repr(settings).encode() + np.packbits(left).tobytes()
        digest = hashlib.sha256(content).hexdigest()[:16]
        size = "x".join(map(str, (*self.shape, *left.shape, filters)))
        what = f"conv2d {size} {left.mean():.3f} {self.quantization} {digest}"
        return {layout: f"{what} {layout}" for layout in LAYOUTS}
