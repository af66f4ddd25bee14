"""A weight whose elements belong to groups: multiplied for a call, or for good."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from keras_spp.core.masks import Layout
from keras_spp.frameworks.tf_keras import arrays
from keras_spp.frameworks.tf_keras.variables import raw


def _entry(holder: Any, step: str) -> Any:
    return holder[int(step)] if step.isdigit() else getattr(holder, step)


class MaskedWeight:
    """One weight of a wrapped layer, and where its wrapper's groups lie in it.

    Args:
        layer: The wrapped layer.
        path: The weight's attribute, as `weight_path` gives it.
        shape: Shape of the mask; it broadcasts against the weight.
        index: For each position of the mask in C order its group, one past the last for
            positions that are never pruned; None if the positions are the groups.
        groups: Number of the wrapper's groups.
    """

    def __init__(
        self, layer: Any, path: str, shape: list[int], index: list[int] | None, groups: int
    ) -> None:
        self._layer, self._path = layer, path.split(".")
        self.layout = Layout(shape, index, groups)

    def config(self) -> dict[str, Any]:
        """Returns the arguments that the wrapper's config stores."""
        layout = self.layout
        return {"path": ".".join(self._path), "shape": layout.shape, "index": layout.index}

    @property
    def _owner(self) -> Any:
        return functools.reduce(_entry, self._path[:-1], self._layer)

    @property
    def weight(self) -> tf.Variable:
        """The variable."""
        return getattr(self._owner, self._path[-1])

    def spread(self, groups: tf.Tensor) -> tf.Tensor:
        """Spreads one value per group over the mask's shape; 1 where nothing is ever pruned."""
        return self.layout.spread(arrays, groups)

    def sums(self, contribution: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
        """Sums what this weight's elements contribute in every group, shape (groups,)."""
        return self.layout.summed(arrays, contribution(tf.cast(raw(self.weight), tf.float32)))

    def derivative(self, weight: tf.Tensor, gradient: tf.Tensor) -> tf.Tensor:
        """Derives by a factor of each group's weights, given the gradient, shape (groups,)."""
        return self.layout.summed(
            arrays, tf.cast(weight, tf.float32) * tf.cast(gradient, tf.float32)
        )

    def multiply(self, groups: tf.Tensor) -> tf.Operation:
        """Multiplies each group's weights with its value, for good."""
        weight = raw(self.weight)
        return weight.assign(weight * tf.cast(self.spread(groups), weight.dtype))

    def _watched(
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

    @contextlib.contextmanager
    def multiplied(
        self, factors: tf.Tensor, dtype: Any, gather: Callable[[tf.Tensor], Any] | None = None
    ) -> Iterator[None]:
        """Multiplies the weight for the duration of a call, without changing the variable.

        Args:
            factors: What it is multiplied with; broadcasts against the weight.
            dtype: The type to compute in.
            gather: When gradients are computed, gets that by each group's factor, (groups,).
        """
        # Straight into the instance's dict: Keras' own setattr would untrack the variable and
        # so reorder the layer's weights. Every layer class that reads the attribute in its
        # call is served alike, which no hook of Keras offers.
        variable, attributes = self.weight, vars(self._owner)
        factors = tf.cast(factors, dtype)
        weight = tf.convert_to_tensor(variable)
        product = weight * factors if gather is None else self._watched(weight, factors, gather)
        attributes[self._path[-1]] = product
        try:
            yield
        finally:
            attributes[self._path[-1]] = variable
