"""A weight whose elements belong to groups: multiplied for a call, or for good."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from keras_spp.core.masks import Layout


def _entry(holder: Any, step: str) -> Any:
    return holder[int(step)] if step.isdigit() else getattr(holder, step)


class MaskedWeight:
    """One weight of a wrapped layer, and where its wrapper's groups lie in it.

    An adapter's own class says how its framework computes.

    Args:
        layer: The wrapped layer.
        path: The weight's attribute, as `weight_path` gives it.
        shape: Shape of the mask; it broadcasts against the weight.
        index: For each position of the mask in C order its group, one past the last for
            positions that are never pruned; None if the positions are the groups.
        groups: Number of the wrapper's groups.
    """

    arrays: ModuleType

    def __init__(
        self, layer: Any, path: str, shape: list[int], index: list[int] | None, groups: int
    ) -> None:
        self._layer, self._path = layer, path.split(".")
        self.layout = Layout(shape, index, groups)

    # -- what an adapter says ------------------------------------------------------------------

    def raw(self) -> Any:
        """Returns the variable in its own type, under mixed precision too."""
        raise NotImplementedError

    def tensor(self, dtype: Any) -> Any:
        """Returns the variable's value in a type to compute in."""
        raise NotImplementedError

    def watched(self, weight: Any, factors: Any, gather: Any) -> Any:
        """Multiplies; when gradients are computed, `gather` gets that by each group's factor."""
        raise NotImplementedError

    # ------------------------------------------------------------------------------------------

    def config(self) -> dict[str, Any]:
        """Returns the arguments that the wrapper's config stores."""
        layout = self.layout
        return {"path": ".".join(self._path), "shape": layout.shape, "index": layout.index}

    @property
    def _owner(self) -> Any:
        return functools.reduce(_entry, self._path[:-1], self._layer)

    @property
    def weight(self) -> Any:
        """The variable."""
        return getattr(self._owner, self._path[-1])

    def spread(self, groups: Any) -> Any:
        """Spreads one value per group over the mask's shape; 1 where nothing is ever pruned."""
        return self.layout.spread(self.arrays, groups)

    def sums(self, contribution: Callable[[Any], Any]) -> Any:
        """Sums what this weight's elements contribute in every group, shape (groups,)."""
        weight = self.arrays.cast(self.raw(), "float32")
        return self.layout.summed(self.arrays, contribution(weight))

    def derivative(self, weight: Any, gradient: Any) -> Any:
        """Derives by a factor of each group's weights, given the gradient, shape (groups,)."""
        cast = self.arrays.cast
        return self.layout.summed(self.arrays, cast(weight, "float32") * cast(gradient, "float32"))

    def multiply(self, groups: Any) -> Any:
        """Multiplies each group's weights with its value, for good."""
        weight = self.raw()
        return weight.assign(weight * self.arrays.cast(self.spread(groups), weight.dtype))

    @contextlib.contextmanager
    def multiplied(self, factors: Any, dtype: Any, gather: Any = None) -> Iterator[None]:
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
        factors, weight = self.arrays.cast(factors, dtype), self.tensor(dtype)
        product = weight * factors if gather is None else self.watched(weight, factors, gather)
        attributes[self._path[-1]] = product
        try:
            yield
        finally:
            attributes[self._path[-1]] = variable
