"""What a plan does to a network's outputs, beyond what statistics of its layers make up for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from keras_spp.allocation.greedy import importance
from keras_spp.allocation.sensitivity import change
from keras_spp.core.groups import Goals, Groups
from keras_spp.frameworks.data import chunks, fitting
from keras_spp.frameworks.tf_keras.probe import Hook, Probe
from keras_spp.frameworks.tf_keras.softmax import ends_in_softmax, is_softmax
from keras_spp.rules.channelwise import channel_axis

CHUNK = 64  # samples that pass through the network together
FEW = 32  # positions and samples of which statistics would say too little
ROUNDING = 1e-6  # relative difference of outputs that are the same


class Distortion:
    """What goals do to the outputs, beyond what statistics of the layers can make up for."""

    def __init__(self, model: Any, groups: Groups, representative_data: Any, samples: int) -> None:
        self.groups = groups
        self.importance = importance(groups)
        readers = {id(reader.layer) for reader in groups.readers}
        self.probe = Probe(
            model, groups, lambda layer: self._hook(layer) if id(layer) in readers else None
        )
        self.softmax = [ends_in_softmax(output) for output in model.outputs]
        fixed = model.inputs[0].shape[0]
        size = fixed or min(CHUNK, samples)
        self.inputs = list(
            chunks(representative_data, size, -(-samples // size), bool(fixed), again=False)
        )
        # Of each call in the dense network, to be given to those that follow in the same order.
        self.moments: list[tuple[tf.Tensor, tf.Tensor]] = []
        self.given: Iterator[tuple[tf.Tensor, tf.Tensor]] | None = None
        with fitting(size, "Search"):
            self.outputs = self._outputs()
        self._check()

    def __call__(self, goals: Goals) -> float:
        """Returns the change of the outputs when the least important groups are pruned."""
        self.probe.zero(self.groups.kept(goals, self.importance))
        self.given = iter(self.moments)
        changes = [change(*pair) for pair in zip(self.outputs, self._outputs(), strict=True)]
        self.probe.restore()
        result = float(np.average(changes, weights=[len(chunk[0]) for chunk in self.outputs]))
        return result if np.isfinite(result) else np.inf

    def _outputs(self) -> list[list[tf.Tensor]]:
        """Computes those of the copy, by chunk: logits, where a softmax makes probabilities."""
        return [
            [
                self._restored(
                    tf.math.log(tf.maximum(tf.cast(x, tf.float32), 1e-7)) if softmax else x, -1
                )
                for x, softmax in zip(tf.nest.flatten(outputs), self.softmax, strict=True)
                if x.dtype.is_floating
            ]
            for outputs in self.probe.outputs(self.inputs, eager=True)
        ]

    def _hook(self, layer: Any) -> Hook:
        """Restores the statistics of what comes out, but for probabilities."""
        axis = channel_axis(layer)
        if is_softmax(getattr(layer, "activation", None)):
            return lambda *_: None
        return lambda _, outputs: tf.nest.map_structure(lambda x: self._restored(x, axis), outputs)

    def _restored(self, x: tf.Tensor, axis: int) -> tf.Tensor:
        """Gives each channel the mean and standard deviation that it had in the dense network."""
        others = [other for other in range(len(x.shape)) if other != axis % len(x.shape)]
        if not x.dtype.is_floating or np.prod([x.shape[other] for other in others]) < FEW:
            return x
        values = tf.cast(x, tf.float32)
        mean, variance = tf.nn.moments(values, others, keepdims=True)
        deviation = tf.sqrt(variance)
        if self.given is None:
            self.moments.append((mean, deviation))
            return x
        wanted, spread = next(self.given)
        values = (values - mean) * tf.math.divide_no_nan(spread, deviation) + wanted
        return tf.cast(values, x.dtype)

    def _check(self) -> None:
        """Checks that the dense network's outputs are finite and differ."""
        by_output = [np.concatenate(parts) for parts in zip(*self.outputs, strict=True)]
        what = None
        if not all(np.isfinite(each).all() for each in by_output):
            what = "NaN or infinity in the outputs"
        elif all(
            len(each) > 1 and np.ptp(each, 0).max() <= ROUNDING * abs(each).max()
            for each in by_output
        ):
            what = "the same outputs for all samples"
        if what:
            raise ValueError(
                f"`representative_data` gives {what}, so spp.Search cannot say what matters: give "
                f"finite samples that differ, or another allocation."
            )
