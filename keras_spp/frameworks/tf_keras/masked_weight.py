"""A weight whose elements belong to groups, and its variable as it is."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras


def raw(variable: tf.Variable) -> tf.Variable:
    """The variable in its own dtype, under mixed precision too."""
    return getattr(variable, "_variable", variable) if hasattr(variable, "true_dtype") else variable


def copies(variable: Any) -> list[tf.Variable]:
    """The variable as each local replica has it, the first one's first."""
    variable = raw(variable)
    return list(getattr(variable, "values", [variable]))


def host(variable: tf.Variable) -> np.ndarray:
    """A variable's value as an array."""
    return raw(variable).numpy()


def weight_path(layer: keras.layers.Layer, variable: Any) -> str | None:
    """Where a layer holds a variable, like "kernel" or "cell.kernel"; None if not in attributes."""
    for name, value in vars(layer).items():
        if value is variable:
            return name
        if isinstance(value, keras.layers.Layer) and (inner := weight_path(value, variable)):
            return f"{name}.{inner}"
    cells = layer.cells if isinstance(layer, keras.layers.StackedRNNCells) else []
    for number, cell in enumerate(cells):
        if inner := weight_path(cell, variable):
            return f"cells.{number}.{inner}"
    return None


def _entry(holder: Any, step: str) -> Any:
    return holder[int(step)] if step.isdigit() else getattr(holder, step)


class Masked:
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
        self._layer, self._shape, self._index, self._groups = layer, shape, index, groups
        self._path = path.split(".")

    def config(self) -> dict[str, Any]:
        """The arguments that the wrapper's config stores."""
        return {"path": ".".join(self._path), "shape": self._shape, "index": self._index}

    @property
    def _owner(self) -> Any:
        return functools.reduce(_entry, self._path[:-1], self._layer)

    @property
    def weight(self) -> tf.Variable:
        """The variable."""
        return getattr(self._owner, self._path[-1])

    def spread(self, groups: tf.Tensor) -> tf.Tensor:
        """Spreads one value per group over the mask's shape; 1 where nothing is ever pruned."""
        if self._index is not None:
            never = tf.ones([1], groups.dtype)
            groups = tf.gather(tf.concat([groups, never], 0), tf.constant(self._index))
        return tf.reshape(groups, self._shape)

    def sums(self, contribution: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
        """What this weight's elements contribute, summed in every group, shape (groups,)."""
        return self._summed(contribution(tf.cast(raw(self.weight), tf.float32)))

    def derivative(self, weight: tf.Tensor, gradient: tf.Tensor) -> tf.Tensor:
        """By a factor of each group's weights, from the gradient by them, shape (groups,)."""
        return self._summed(tf.cast(weight, tf.float32) * tf.cast(gradient, tf.float32))

    def _summed(self, values: tf.Tensor) -> tf.Tensor:
        others = [axis for axis, size in enumerate(self._shape) if size == 1]
        values = tf.reshape(tf.reduce_sum(values, others), [-1])
        if self._index is None:
            return values
        index = tf.constant(self._index)
        return tf.math.unsorted_segment_sum(values, index, self._groups + 1)[: self._groups]

    def place(self, values: np.ndarray, groups: np.ndarray) -> None:
        """Writes what is known of each position along this weight's axis of channels by group."""
        index = np.arange(self._groups) if self._index is None else np.asarray(self._index)
        groups[index[index < self._groups]] = values[index < self._groups]

    def multiply(self, groups: tf.Tensor) -> tf.Operation:
        """Multiplies each group's weights with its value, for good."""
        weight = raw(self.weight)
        return weight.assign(weight * tf.cast(self.spread(groups), weight.dtype))

    def _watched(
        self, weight: tf.Tensor, factors: tf.Tensor, gather: Callable[[tf.Tensor], Any]
    ) -> tf.Tensor:
        """The product; when gradients are computed, `gather` gets that by each group's factor."""

        @tf.custom_gradient
        def product(weight: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
            def gradient(upstream: tf.Tensor) -> tf.Tensor:
                gather(self.derivative(weight, upstream))
                return upstream * factors

            return weight * factors, gradient

        return product(weight)

    @contextlib.contextmanager
    def multiplied(
        self, groups: tf.Tensor, dtype: Any, gather: Callable[[tf.Tensor], Any] | None = None
    ) -> Iterator[None]:
        """The same for the duration of a call, in `dtype`, without changing the variable."""
        # Straight into the instance's dict: Keras' own setattr would untrack the variable and
        # so reorder the layer's weights. Every layer class that reads the attribute in its
        # call is served alike, which no hook of Keras offers.
        variable, attributes = self.weight, vars(self._owner)
        factors = tf.cast(self.spread(groups), dtype)

        weight = tf.convert_to_tensor(variable)
        product = weight * factors if gather is None else self._watched(weight, factors, gather)
        attributes[self._path[-1]] = product
        try:
            yield
        finally:
            attributes[self._path[-1]] = variable
