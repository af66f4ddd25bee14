"""Tensors that are computed from the sizes of others, and whether they count channels.

`tf.shape(x)` and tensors made of it carry no channels, but change when those of `x` leave. So they
keep their computation, for the layer that uses them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from keras_spp.core.call import Call, labelled
from keras_spp.core.channels import Reason, Tensor

# Replaces an open size; divisible by the usual blocks of pixels.
OPEN_SIZE = 24
BATCH = 2


@dataclass(frozen=True)
class Result:
    """One of the results of a function that is called on sizes.

    Attributes:
        function: What is called.
        args: Its arguments, `Tensor`s in place of tensors.
        kwargs: Its keyword arguments.
        number: Which of the function's results it is.
    """

    function: Callable[..., Any]
    args: tuple
    kwargs: dict[str, Any]
    number: int

    def origins(self) -> list[Tensor]:
        """Returns the tensors whose sizes are taken."""
        return [origin for x in labelled((self.args, self.kwargs)) for origin in x.origins()]

    def counts_channels(self) -> bool:
        """Tells whether the result changes when channels leave those tensors."""
        bases = list({id(base): base for base in self.origins()}.values())
        try:
            whole = [tf.zeros(drawn_sizes(base), base.dtype) for base in bases]
            value = self.value(_by_id(bases, whole))
            for number, base in enumerate(bases):
                for axis in base.varying:
                    sizes = drawn_sizes(base)
                    sizes[axis] -= 1
                    part = [*whole]
                    part[number] = tf.zeros(sizes, base.dtype)
                    if not np.array_equal(value, self.value(_by_id(bases, part))):
                        return True
        except Exception:  # the function may need certain sizes
            return True
        return False

    def value(self, places: dict[int, Any]) -> Any:
        """Computes the result.

        Args:
            places: The value that replaces each of the labelled tensors, by its id.
        """
        args, kwargs = tf.nest.map_structure(
            lambda part: evaluated(part, places), (self.args, self.kwargs)
        )
        return tf.nest.flatten(self.function(*args, **kwargs))[self.number]


def _by_id(tensors: list[Tensor], arrays: list[tf.Tensor]) -> dict[int, Any]:
    return {id(x): array for x, array in zip(tensors, arrays, strict=True)}


def evaluated(item: Any, places: dict[int, Any]) -> Any:
    """Returns the value of an argument: a labelled tensor's is in `places`, or computed from it."""
    if not isinstance(item, Tensor):
        return item
    if id(item) not in places and item.made_of is not None:
        places[id(item)] = item.made_of.value(places)
    return places[id(item)]


def drawn_sizes(x: Tensor) -> list[int]:
    """Returns the sizes of a tensor, with `BATCH` and `OPEN_SIZE` for open ones."""
    batch = [x.shape[0] or BATCH] if x.shape else []
    return [*batch, *(OPEN_SIZE if size is None else size for size in x.shape[1:])]


def deferred(call: Call, function: Callable[..., Any], args: tuple, kwargs: dict) -> list[Tensor]:
    """Returns outputs that keep how they are computed from sizes.

    Args:
        call: The call of the layer.
        function: What the layer calls.
        args: Its arguments.
        kwargs: Its keyword arguments.
    """
    outputs = []
    for number, (shape, dtype) in enumerate(zip(call.shapes, call.dtypes, strict=True)):
        label = call.channels.new(1).reshape([1] * len(shape))
        call.freeze(label, Reason.INPUT)
        outputs.append(Tensor(label, shape, dtype, Result(function, args, kwargs, number)))
    return outputs
