"""One published network through prune and shrink, of either Keras: what is measured of it."""

from __future__ import annotations

import gc
import hashlib
import time
import warnings
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import keras as keras_3
import numpy as np
import tensorflow as tf
import tf_keras

import keras_spp as spp
from keras_spp import frameworks
from tests.helpers.calibrated import calibrate
from tests.helpers.profiler import counts
from tests.helpers.random_weights import assign, random_probabilities
from tests.zoo import keras3_networks, networks
from tests.zoo.keras3_models import randomize

ENDS = ("model input", "model output")
GAIN = 6.0  # half of the channels go, and others are scaled by what keeps them
SOURCES = sorted(Path(spp.__file__).parent.rglob("*.py"))
VERSION = hashlib.sha256(b"".join(path.read_bytes() for path in SOURCES)).hexdigest()[:12]
# The names of the networks, by the library that has them.
LIBRARIES = {
    "tf_keras": networks.APPLICATIONS,
    "keras": keras3_networks.APPLICATIONS,
    "keras_cv": list(networks.KERAS_CV),
    "keras_hub": list(keras3_networks.KERAS_HUB),
}


def backend_of(library: str) -> str:
    """What computes the networks of a library here."""
    return "tensorflow" if library in ("tf_keras", "keras_cv") else keras_3.backend.backend()


def measure(library: str, name: str) -> dict[str, Any]:
    """One line of the results."""
    warnings.simplefilter("ignore")
    network = _Network(library, name)
    return {
        "library": library,
        "model": name,
        "backend": backend_of(library),
        "version": VERSION,
        **network.in_float64(),
        **network.in_float32(),
    }


class _Network:
    """A network that can be built in either precision."""

    def __init__(self, library: str, name: str) -> None:
        self._name = name
        self._is_keras_3 = library in ("keras", "keras_hub")
        self._keras: ModuleType = keras_3 if self._is_keras_3 else tf_keras
        self._build = (keras3_networks if self._is_keras_3 else networks).build
        self._on_tensorflow = backend_of(library) == "tensorflow"
        self._in_float64: list[np.ndarray] = []  # what the pruned network gives

    def in_float64(self) -> dict[str, Any]:
        """Everything but rounding."""
        seconds: dict[str, float] = {}

        def timed(what, function, *arguments, **options):
            start = time.perf_counter()
            result = function(*arguments, **options)
            seconds[what] = round(time.perf_counter() - start, 3)
            return result

        self._start_session("float64")
        model = timed("build", self._build, self._name)
        self._randomize(model)
        dense = timed("analyse", spp.analyze, model)
        row = {
            "input": model.inputs[0].shape[1],
            "macs": dense.macs,
            "params": dense.params,
            "frozen": frozen(model),
            "reasons": stopped_by(dense),
            "miscounted": self._miscounted(model, dense),
            "seconds": seconds,
        }
        pruned = timed("prune", spp.prune, model, pruning_ratio=0.5, round_to=1)
        del model  # the largest networks take gigabytes
        expected, x = self._prepare(pruned)
        self._in_float64 = expected
        small = timed("shrink", spp.shrink, pruned)
        after = spp.analyze(small)
        row["miscounted"] += self._miscounted(small, after)
        return row | {
            "layers": len(list(frameworks.of(small).layers(small))) + len(small.inputs),
            "macs_small": after.macs,
            "params_small": after.params,
            "difference": difference(expected, self._outputs(small, x)),
            "variation": min(map(_variation, expected)),
        }

    def in_float32(self) -> dict[str, Any]:
        """Rounding: of the rebuild, and for comparison of the pruned model itself."""
        self._start_session("float32")
        model = self._build(self._name)
        self._randomize(model)
        pruned = spp.prune(model, pruning_ratio=0.5, round_to=1)
        del model
        expected, x = self._prepare(pruned)
        return {
            "difference32": difference(expected, self._outputs(spp.shrink(pruned), x)),
            "rounding32": difference(self._in_float64, expected),
        }

    def _start_session(self, precision: str) -> None:
        self._keras.backend.clear_session()
        self._keras.backend.set_floatx(precision)
        if not self._on_tensorflow:
            import jax

            jax.config.update("jax_enable_x64", precision == "float64")
        gc.collect()

    def _randomize(self, model: Any) -> None:
        if self._is_keras_3:
            randomize(model, gain=GAIN)
        else:
            assign(_variables(model), gain=GAIN)

    def _prepare(self, pruned: Any) -> tuple[list[np.ndarray], np.ndarray]:
        """Masks at random; the outputs of inputs of unit scale, and these."""
        random_probabilities(pruned)
        x = np.random.default_rng(1).normal(size=(64, *pruned.inputs[0].shape[1:]))
        x = x.astype(self._keras.backend.floatx())
        calibrate(pruned, x)
        return self._outputs(pruned, x[:4]), x[:4]

    def _outputs(self, model: Any, x: np.ndarray) -> list[np.ndarray]:
        return [np.asarray(output) for output in tf.nest.flatten(model(x, training=False))]

    def _miscounted(self, model: Any, analysis: spp.Analysis) -> list[tuple[float, float]]:
        """By how much MACs and parameters of the analysis are off, where they can be counted."""
        if not self._on_tensorflow:
            return []
        macs, params = counts(model)
        return [(abs(analysis.macs / macs - 1), abs(analysis.params / params - 1))]


def _variables(model: tf_keras.Model) -> list[tf.Variable]:
    """The weights, with those that no layer owns: VGG16 of KerasCV gives its to functions."""
    layers = frameworks.of(model).layers(model)
    calls = [node.call_args for layer in layers for node in layer.inbound_nodes]
    return model.weights + [value for value in tf.nest.flatten(calls) if hasattr(value, "assign")]


def difference(expected: Iterable[np.ndarray], found: Iterable[np.ndarray]) -> float:
    """The largest one of an output, relative to that output's largest value."""
    pairs = zip(expected, found, strict=True)
    return max(float(np.abs(first - second).max() / np.abs(first).max()) for first, second in pairs)


def _variation(output: np.ndarray) -> float:
    return float(np.ptp(output, axis=0).max() / np.abs(output).max())


def frozen(model: Any) -> float:
    """The share of the channels made by layers with kernels that nothing can remove."""
    framework = frameworks.of(model)
    classes = framework.label(framework.opened(model))
    made = [axis for axis in classes.channels.axes.values() if axis.role == "writes"]
    return float(np.mean(np.concatenate([~classes.prunable[classes.of(axis)] for axis in made])))


def stopped_by(analysis: spp.Analysis) -> list[str]:
    """The reasons of the analysis, without those that every network has."""
    reasons = [part for row in analysis if row.reason for part in row.reason.split("; ")]
    return sorted({reason.partition(" (")[0] for reason in reasons} - set(ENDS))
