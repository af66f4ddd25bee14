"""Leaves the pruned columns of convolutions out of an exported file where that is faster."""

from __future__ import annotations

import contextlib
import functools
import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from keras_spp import frameworks
from keras_spp.devices.device import Device
from keras_spp.export import columns
from keras_spp.export.options import IO_TYPES
from keras_spp.export.quantization import in_integers
from keras_spp.export.quantizer import Task, convert
from keras_spp.frameworks.interface import Layer, Model

DENSE = "dense"
LAYOUTS = (DENSE, *columns.LAYOUTS)
GAIN = 1.05  # a layout is taken if it is faster by this factor: less is within the noise

Calls = Mapping[Layer, Sequence[tuple[int, ...]]]


@dataclass(frozen=True)
class PackedLayer:
    """A convolution with pruned columns.

    Attributes:
        layer: Its name.
        columns: How many are left, and how many the kernel has.
        layout: How the file computes it: "dense", with the zeros, or one of `columns.LAYOUTS`.
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


@contextlib.contextmanager
def calls(model: Model, pack: bool = True) -> Iterator[Calls]:
    """Records the shapes with which a model calls its convolutions with pruned columns.

    Without `pack` it records none.
    """
    shapes: dict[Any, list[tuple[int, ...]]] = defaultdict(list)

    def recorded(layer: Layer) -> columns.Operation:
        def convolve(inputs: tf.Tensor, kernel: Any) -> tf.Tensor:
            shapes[layer].append(tuple(inputs.shape))
            return type(layer).convolution_op(layer, inputs, kernel)

        return convolve

    pruned = columns.find_pruned(model) if pack else ()
    with frameworks.of(model).convolved_by({layer: recorded(layer) for layer in pruned}):
        yield shapes


def decide(
    shapes: Calls, quantization: str, device: Device
) -> tuple[tuple[PackedLayer, ...], dict[Layer, columns.Operation]]:
    """Times each convolution with pruned columns alone, in every layout.

    Args:
        shapes: What `calls` yielded.
        quantization: How the file will be stored.
        device: Where to measure.

    Returns:
        A `PackedLayer` for each, and the operations of those that get faster.
    """
    calls = {
        layer: [_Call(layer, shape, quantization) for shape in of_layer]
        for layer, of_layer in shapes.items()
        if all(len(shape) == 4 and None not in shape for shape in of_layer)
    }
    _measure([call for of_layer in calls.values() for call in of_layer], device)
    rows, operations = [], {}
    for layer, of_layer in calls.items():
        total = {
            layout: sum([device.latency(call.keys[layout]) for call in of_layer], 0.0)
            for layout in LAYOUTS
        }
        best = min(columns.LAYOUTS, key=total.__getitem__)
        layout = best if total[best] * GAIN <= total[DENSE] else DENSE
        surviving = columns.left(layer)
        rows.append(PackedLayer(layer.name, (int(surviving.sum()), surviving.size), layout, total))
        if layout != DENSE:
            operations[layer] = columns.packed(layer, layout)
    return tuple(rows), operations


def _measure(calls: Sequence[_Call], device: Device) -> None:
    """Measures the calls that the device does not know yet, the layouts of one side by side."""
    unmeasured = {call.keys[DENSE]: call for call in calls if not device.knows(call.keys.values())}
    if not unmeasured:
        return
    functions = [call.function(layout) for call in unmeasured.values() for layout in LAYOUTS]
    files = iter(files_of(functions, next(iter(unmeasured.values())).quantization))
    for call in unmeasured.values():
        device.measure({call.keys[layout]: bytes(next(files)) for layout in LAYOUTS})


def files_of(functions: Sequence[Any], quantization: str) -> list[bytearray]:
    """Returns TFLite files to time, of functions of one input."""
    if quantization not in IO_TYPES:
        return [convert(function, quantization) for function in functions]
    integers = IO_TYPES[quantization][1]
    generator, tasks = np.random.default_rng(0), []
    for function in functions:  # on any samples: latency does not depend on them
        shape = function.inputs[0].shape
        samples = [{"inputs": generator.normal(size=shape).astype(np.float32)}]
        tasks.append(Task(function, samples, quantization, integers, integers))
    return in_integers(tasks)


@dataclass(frozen=True)
class _Call:
    """One call of a layer, to be timed in every layout."""

    layer: Layer
    shape: tuple[int, ...]
    quantization: str

    @functools.cached_property
    def keys(self) -> dict[str, str]:
        """The device's key of each layout, made of which columns are left, not of their values."""
        layer, surviving = self.layer, columns.left(self.layer)
        config = (layer.filters, layer.strides, layer.dilation_rate, layer.padding)
        settings = (self.shape, surviving.shape, config)
        content = repr(settings).encode() + np.packbits(surviving).tobytes()
        digest = hashlib.sha256(content).hexdigest()[:16]
        size = "x".join(map(str, (*self.shape, *surviving.shape, layer.filters)))
        what = f"conv2d {size} {surviving.mean():.3f} {self.quantization} {digest}"
        return {layout: f"{what} {layout}" for layout in LAYOUTS}

    def function(self, layout: str) -> Any:
        """Returns the convolution alone: bias and activation take the same time in all layouts."""
        layer, spec = self.layer, tf.TensorSpec(self.shape, tf.float32, name="inputs")
        operations = {} if layout == DENSE else {layer: columns.packed(layer, layout)}
        with frameworks.default().convolved_by(operations):
            function = tf.function(lambda inputs: layer.convolution_op(inputs, layer.kernel))
            return function.get_concrete_function(spec)
