"""A weight of a Keras 3 layer whose elements belong to groups."""

from __future__ import annotations

from typing import Any

import keras

from keras_spp.frameworks import masked_weight
from keras_spp.frameworks.keras3 import arrays

ops = keras.ops


class MaskedWeight(masked_weight.MaskedWeight):
    """See `keras_spp.frameworks.masked_weight.MaskedWeight`; `gather` is a variable.

    Its gradient is what is gathered: no backend but TensorFlow lets a backward pass assign.
    """

    arrays = arrays

    def raw(self) -> keras.Variable:
        """Returns the variable, which Keras 3 casts only in a layer's call."""
        return self.weight

    def tensor(self, dtype: Any) -> Any:
        """Returns the variable's value in a type to compute in."""
        return ops.cast(self.weight, dtype)

    def watched(self, weight: Any, factors: Any, gather: keras.Variable) -> Any:
        """Multiplies; the magnitude of the gradient by each group's factor becomes `gather`'s."""

        @ops.custom_gradient
        def product(weight: Any, gathered: Any) -> tuple[Any, Any]:
            def gradient(*arguments: Any, upstream: Any = None) -> tuple[Any, Any]:
                upstream = arguments[0] if upstream is None else upstream
                derivative = self.derivative(weight, upstream)
                # A loss that is scaled for float16 overflows now and then; the optimizer skips
                # that too.
                finite = ops.where(ops.isfinite(derivative), ops.abs(derivative), 0.0)
                return upstream * factors, finite

            return weight * factors, gradient

        return product(weight, ops.convert_to_tensor(gather))
