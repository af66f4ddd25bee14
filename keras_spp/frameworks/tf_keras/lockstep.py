"""Two tf_keras models of one structure, run side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_spp.frameworks import lockstep
from keras_spp.frameworks.tf_keras import graph, private
from keras_spp.frameworks.tf_keras.variables import raw


@dataclass(frozen=True)
class _Held:
    """A tensor at half its size: float16, scaled to its own range."""

    values: Any
    scale: Any
    dtype: Any
    mask: Any

    @classmethod
    def of(cls, tensor: Any) -> _Held:
        """Holds a tensor, with the mask of its time steps if it has one."""
        mask = private.sequence_mask(tensor)
        if tensor.dtype not in (tf.float32, tf.float64):
            return cls(tensor, None, tensor.dtype, mask)
        largest = tf.reduce_max(tf.abs(tensor)) if tf.size(tensor) else tf.zeros([], tensor.dtype)
        if not 0 < largest < tensor.dtype.max:  # nothing to scale by
            return cls(tensor, None, tensor.dtype, mask)
        scale = 2.0 ** tf.math.ceil(tf.math.log(largest) / np.log(2.0))
        return cls(tf.cast(tensor / scale, tf.float16), scale, tensor.dtype, mask)

    def tensor(self) -> Any:
        """Returns it in its own type again."""
        values = self.values
        if self.scale is not None:
            values = tf.cast(values, self.dtype) * self.scale
        return values if self.mask is None else private.with_sequence_mask(values, self.mask)

    @property
    def bytes(self) -> int:
        """How much memory that takes."""
        return int(np.prod(self.values.shape)) * self.values.dtype.size


class Lockstep(lockstep.Lockstep):
    """`keras_spp.frameworks.lockstep.Lockstep` of tf_keras models."""

    graph = graph

    def conformed(self, model: keras.Model, batch: Any) -> list[tf.Tensor]:
        """Returns what a model is called with as tensors of its inputs' types, in their order."""
        return private.conformed(model, batch)

    def held(self, tensor: tf.Tensor) -> _Held:
        """Holds a tensor at half its size, if it can be."""
        return _Held.of(tensor)

    def held_as_it_is(self, tensor: tf.Tensor) -> _Held:
        """Holds a tensor."""
        return _Held(tensor, None, tensor.dtype, private.sequence_mask(tensor))

    def reset(self, model: keras.Model) -> None:
        """Resets the states of recurrent layers."""
        model.reset_states()

    def read(self, variable: tf.Variable) -> tf.Tensor:
        """Returns a variable's value."""
        return raw(variable).read_value()

    def write(self, variable: tf.Variable, value: tf.Tensor) -> None:
        """Gives a variable such a value back."""
        raw(variable).assign(value)
