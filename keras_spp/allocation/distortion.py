"""What a plan does to a network's outputs, beyond what statistics of its layers make up for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_spp.allocation.greedy import copied, importance
from keras_spp.allocation.sensitivity import change
from keras_spp.core.groups import Goals, Groups
from keras_spp.frameworks.data import chunks, fitting
from keras_spp.frameworks.tf_keras.probe import Look
from keras_spp.frameworks.tf_keras.variables import host, raw
from keras_spp.rules.channelwise import channel_axis
from keras_spp.training.distill import SOFTMAX, ends_in_softmax

CHUNK = 64  # samples that pass through the network together
FEW = 32  # positions and samples of which statistics would say too little
ROUNDING = 1e-6  # relative difference of outputs that are the same


class Distortion:
    """What goals do to the outputs, beyond what statistics of the layers can make up for."""

    def __init__(
        self, model: keras.Model, groups: Groups, representative_data: Any, samples: int
    ) -> None:
        self.groups = groups
        self.importance = importance(groups)
        readers = {id(reader.layer) for reader in groups.readers}
        self.copy, masked = copied(
            model, groups, lambda layer: self._look(layer) if id(layer) in readers else None
        )
        self.masked = [[masked[id(each.variable)] for each in r.weights] for r in groups.readers]
        self.dense = [(raw(each.weight), host(each.weight)) for each in masked.values()]
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
        for weight, value in self.dense:
            weight.assign(value)
        kept = self.groups.kept(goals, self.importance)
        for reader, weights in zip(self.groups.readers, self.masked, strict=True):
            groups = tf.constant(reader.joined(kept), tf.float32)
            for masked in weights:
                masked.multiply(groups)
        self.given = iter(self.moments)
        found = [change(*pair) for pair in zip(self.outputs, self._outputs(), strict=True)]
        result = float(np.average(found, weights=[len(each[0]) for each in self.outputs]))
        return result if np.isfinite(result) else np.inf

    def _outputs(self) -> list[list[tf.Tensor]]:
        """Of the copy as it is, for each chunk: logits, where a softmax makes probabilities."""
        self.copy.reset_states()
        result = []
        for inputs in self.inputs:
            outputs = tf.nest.flatten(self.copy(inputs, training=False))
            result.append(
                [
                    self._restored(
                        tf.math.log(tf.maximum(tf.cast(x, tf.float32), 1e-7)) if softmax else x, -1
                    )
                    for x, softmax in zip(outputs, self.softmax, strict=True)
                    if x.dtype.is_floating
                ]
            )
        return result

    def _look(self, layer: keras.layers.Layer) -> Look:
        """Restores the statistics of what comes out, but for probabilities."""
        axis = channel_axis(layer)
        if getattr(layer, "activation", None) in SOFTMAX:
            return lambda *_: None
        return lambda _, outputs: tf.nest.map_structure(lambda x: self._restored(x, axis), outputs)

    def _restored(self, x: tf.Tensor, axis: int) -> tf.Tensor:
        """With the mean and standard deviation that each channel had in the dense network."""
        others = [each for each in range(len(x.shape)) if each != axis % len(x.shape)]
        if not x.dtype.is_floating or np.prod([x.shape[each] for each in others]) < FEW:
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
        """That the dense network's outputs are finite and differ."""
        by_output = [np.concatenate(each) for each in zip(*self.outputs, strict=True)]
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
