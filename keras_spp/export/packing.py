"""Which convolutions lose their pruned columns in an exported file: those that get faster by it."""

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
        columns: How many are left, and how many there were.
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
    """Yields what will say with which shapes a model calls its convolutions with pruned columns.

    Without `pack` that is none.
    """
    found: dict[Any, list[tuple[int, ...]]] = defaultdict(list)

    def watched(layer: Layer) -> columns.Operation:
        def convolve(inputs: tf.Tensor, kernel: Any) -> tf.Tensor:
            found[layer].append(tuple(inputs.shape))
            return type(layer).convolution_op(layer, inputs, kernel)

        return convolve

    pruned = columns.find_pruned(model) if pack else ()
    with frameworks.of(model).convolved_by({layer: watched(layer) for layer in pruned}):
        yield found


def decide(
    found: Calls, quantization: str, device: Device
) -> tuple[tuple[PackedLayer, ...], dict[Layer, columns.Operation]]:
    """Times each convolution with pruned columns alone, in every layout.

    Args:
        found: What `calls` yielded.
        quantization: How the file will be stored.
        device: Where to measure.

    Returns:
        What was found for each, and by what to compute those that get faster.
    """
    known = {
        layer: [_Call(layer, shape, quantization) for shape in shapes]
        for layer, shapes in found.items()
        if all(len(shape) == 4 and None not in shape for shape in shapes)
    }
    _measure([call for each in known.values() for call in each], device)
    rows, operations = [], {}
    for layer, each in known.items():
        total = {
            layout: sum([device.latency(call.keys[layout]) for call in each], 0.0)
            for layout in LAYOUTS
        }
        best = min(columns.LAYOUTS, key=total.__getitem__)
        layout = best if total[best] * GAIN <= total[DENSE] else DENSE
        there = columns.left(layer)
        rows.append(PackedLayer(layer.name, (int(there.sum()), there.size), layout, total))
        if layout != DENSE:
            operations[layer] = columns.packed(layer, layout)
    return tuple(rows), operations


def _measure(calls: Sequence[_Call], device: Device) -> None:
    """Measures what the device does not know yet, the layouts of one call side by side."""
    unknown = {c.keys[DENSE]: c for c in calls if not device.knows(c.keys.values())}
    if not unknown:
        return
    functions = [call.function(layout) for call in unknown.values() for layout in LAYOUTS]
    files = iter(files_of(functions, next(iter(unknown.values())).quantization))
    for call in unknown.values():
        device.measure({call.keys[layout]: bytes(next(files)) for layout in LAYOUTS})


def files_of(functions: Sequence[Any], quantization: str) -> list[bytearray]:
    """TFLite files to time, of functions of one input."""
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
        """Of all that latencies depend on: which columns are left, but not their values."""
        layer, there = self.layer, columns.left(self.layer)
        config = (layer.filters, layer.strides, layer.dilation_rate, layer.padding)
        said = (self.shape, there.shape, config)
        digest = hashlib.sha256(repr(said).encode() + np.packbits(there).tobytes()).hexdigest()[:16]
        size = "x".join(map(str, (*self.shape, *there.shape, layer.filters)))
        what = f"conv2d {size} {there.mean():.3f} {self.quantization} {digest}"
        return {layout: f"{what} {layout}" for layout in LAYOUTS}

    def function(self, layout: str) -> Any:
        """The convolution alone: bias and activation take the same time in all layouts."""
        layer, spec = self.layer, tf.TensorSpec(self.shape, tf.float32, name="inputs")
        operations = {} if layout == DENSE else {layer: columns.packed(layer, layout)}
        with frameworks.default().convolved_by(operations):
            function = tf.function(lambda inputs: layer.convolution_op(inputs, layer.kernel))
            return function.get_concrete_function(spec)
