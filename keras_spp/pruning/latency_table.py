"""What each kernel of a model costs on a device, from latencies of single layers measured there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_spp.core.channels import Kernel, Sizes
from keras_spp.core.cost import Alive, shape_left
from keras_spp.core.coupling import Coupling
from keras_spp.core.kinds import is_a, own_name
from keras_spp.devices.device import Device
from keras_spp.export.tflite import file_to_time
from keras_spp.frameworks.interface import Adapter
from keras_spp.util import progress

# What a layer's config calls the channels that it makes; a depthwise layer makes those it reads.
_MADE = {
    "Conv1D": "filters",
    "Conv2D": "filters",
    "Conv3D": "filters",
    "Conv2DTranspose": "filters",
    "Dense": "units",
    "DepthwiseConv2D": None,
}

# Shares of the channels that a layer reads and makes, at which it is timed.
_POINTS = ((1.0, 1.0), (0.5, 1.0), (1.0, 0.5), (0.5, 0.5), (0.25, 0.25))


class LatencyTable:
    """The latency of each kernel by how many channels it reads and makes: a cost of groups.

    Every layer is timed alone at five sizes. Between them latency is taken to be a product of
    powers of both numbers: it rises with each, but less than MACs do where memory or overhead
    decide. Kernels that cannot be timed alone cost what their MACs cost elsewhere in the model.

    Args:
        coupling: The model's channels.
        device: Where to measure.
        shapes: The shape of each layer's input, by the layer's id.
        framework: The adapter of the model's framework.

    Raises:
        OSError: As `spp.benchmark` does.
        ValueError: Likewise.
    """

    def __init__(
        self, coupling: Coupling, device: Device, shapes: Mapping[int, Sizes], framework: Adapter
    ) -> None:
        self.coupling = coupling
        self._powers: dict[int, np.ndarray] = {}
        kernels = list(coupling.channels.kernels.values())
        with progress.work("latency table", len(kernels)) as timing:
            for kernel in kernels:
                with timing.part():
                    self._time(kernel, device, shapes.get(id(kernel.layer)), framework)
        timed = [kernel for kernel in kernels if id(kernel.variable) in self._powers]
        macs = sum(_macs(kernel, kernel.variable.shape) for kernel in timed)
        total = sum(self.milliseconds(kernel, list(kernel.variable.shape)) for kernel in timed)
        self._per_mac = total / macs if macs else 1.0

    def _time(
        self, kernel: Kernel, device: Device, shape: Sizes | None, framework: Adapter
    ) -> None:
        """Measures a kernel's layer at each of its sizes, if it can be timed alone."""
        if shape is None or not (sizes := _sizes(kernel, shape)):
            return
        keys = [_key(kernel.layer, shape, *size) for size in sizes]
        if not device.knows(keys):
            files = (_file(framework, kernel.layer, shape, *size) for size in sizes)
            device.measure(dict(zip(keys, files, strict=True)))
        logs = np.log([[np.e, *size] for size in sizes])
        values = np.log([device.latency(key) for key in keys])
        self._powers[id(kernel.variable)] = np.maximum(
            np.linalg.lstsq(logs, values, rcond=None)[0], [-np.inf, 0, 0]
        )

    def left(self, dead: np.ndarray | None = None, alive: Alive | None = None) -> float:
        """Returns the milliseconds of all kernels without the dead channels.

        Args:
            dead: Classes of channels to leave out, shape (classes,); None for none.
            alive: None: what columns gain is in no table.
        """
        return sum(
            self.milliseconds(
                kernel, shape_left(self.coupling, kernel, list(kernel.variable.shape), dead)
            )
            for kernel in self.coupling.channels.kernels.values()
        )

    def milliseconds(self, kernel: Kernel, shape: list[int]) -> float:
        """Returns the milliseconds of a kernel of which a shape is left."""
        powers = self._powers.get(id(kernel.variable))
        if powers is None:
            return self._per_mac * _macs(kernel, shape)
        reads, makes = _read_and_made(kernel.layer, shape)
        return float(np.exp(powers @ [1.0, np.log(max(reads, 1)), np.log(max(makes, 1))]))


def _macs(kernel: Kernel, shape: Any) -> float:
    return kernel.positions * float(np.prod(shape))


def _read_and_made(layer: Any, shape: Any) -> tuple[int, int]:
    """Channels by a kernel's shape."""
    if is_a(layer, "DepthwiseConv2D"):
        return int(shape[-2]), int(shape[-2])
    reads, makes = shape[-2:]
    return (int(makes), int(reads)) if is_a(layer, "Conv2DTranspose") else (reads, makes)


def _sizes(kernel: Kernel, shape: Sizes) -> list[tuple[int, int]]:
    """Channels read and made at which a kernel's layer can be timed alone; none if it cannot."""
    layer = kernel.layer
    name = own_name(type(layer))
    if name not in _MADE or getattr(layer, "groups", 1) > 1:
        return []
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        return []
    reads, makes = _read_and_made(layer, kernel.variable.shape)
    if None in shape[1:]:
        return []
    pairs = {(max(1, round(a * reads)), max(1, round(b * makes))) for a, b in _POINTS}
    if _MADE[name] is None:
        pairs = {(size, size) for size, _ in pairs}
    return sorted(pairs, reverse=True)


def _key(layer: Any, shape: Sizes, reads: int, makes: int) -> str:
    """Returns the name of all that the latency depends on."""
    config = {key: value for key, value in layer.get_config().items() if key != "name"}
    said = json.dumps(config, sort_keys=True, default=str)
    digest = hashlib.sha256(said.encode()).hexdigest()[:16]
    size = "x".join(map(str, shape[1:-1]))
    return f"{type(layer).__name__.lower()} {size} {reads} to {makes} {digest}"


def _file(framework: Adapter, layer: Any, shape: Sizes, reads: int, makes: int) -> bytes:
    """Returns a TFLite file of the layer alone with so many channels."""
    made = _MADE[str(own_name(type(layer)))]
    changes = {"dtype": "float32", **({made: makes} if made else {})}
    return file_to_time(framework.alone(layer, changes, (1, *shape[1:-1], reads)))
