"""A weight of a tf_keras layer whose elements belong to groups."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_spp.frameworks import masked_weight
from keras_spp.frameworks.tensorflow import arrays
from keras_spp.frameworks.tf_keras.variables import raw


class MaskedWeight(masked_weight.MaskedWeight):
    """See `keras_spp.frameworks.masked_weight.MaskedWeight`; `gather` is a function."""

    arrays = arrays

    def raw(self) -> tf.Variable:
        """Returns the variable in its own type, under mixed precision too."""
        return raw(self.weight)

    def tensor(self, dtype: Any) -> tf.Tensor:
        """Returns the variable's value in a type to compute in, which Keras has set."""
        return tf.convert_to_tensor(self.weight)

    def watched(
        self, weight: tf.Tensor, factors: tf.Tensor, gather: Callable[[tf.Tensor], Any]
    ) -> tf.Tensor:
        """Multiplies; when gradients are computed, `gather` gets that by each group's factor."""

        @tf.custom_gradient
        def product(weight: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
            def gradient(upstream: tf.Tensor) -> tf.Tensor:
                gather(self.derivative(weight, upstream))
                return upstream * factors

            return weight * factors, gradient

        return product(weight)
