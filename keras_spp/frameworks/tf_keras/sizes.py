"""Tensors that are computed from the sizes of others, and whether they count channels.

`tf.shape(x)` and what is made of it carry no channels, but change when those of `x` leave. So they
stand for the computation until someone takes them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from keras_spp.core.channels import Tensor

# Stands for a size that is open; divisible by the usual blocks of pixels.
OPEN_SIZE = 24
BATCH = 2


def labelled(structure: Any) -> list[Tensor]:
    """The labelled tensors in a structure."""
    return [item for item in tf.nest.flatten(structure) if isinstance(item, Tensor)]


def drawn_sizes(x: Tensor) -> list[int]:
    """The sizes of a tensor with something for open ones."""
    batch = [x.shape[0] or BATCH] if x.shape else []
    return [*batch, *(OPEN_SIZE if size is None else size for size in x.shape[1:])]


def origins(x: Tensor) -> list[Tensor]:
    """The tensors whose sizes a tensor is made of; itself if it is not made of sizes."""
    if x.made_of is None:
        return [x]
    _, args, kwargs, _ = x.made_of
    return [origin for item in labelled((args, kwargs)) for origin in origins(item)]


def counts_channels(x: Tensor) -> bool:
    """Whether a tensor made of sizes changes when channels leave what it is made of."""
    if x.made_of is None:
        return False
    bases = list({id(base): base for base in origins(x)}.values())
    try:
        whole = [tf.zeros(drawn_sizes(base), base.dtype) for base in bases]
        value = evaluated(x, {id(base): array for base, array in zip(bases, whole, strict=True)})
        for number, base in enumerate(bases):
            for axis in base.varying:
                sizes = drawn_sizes(base)
                sizes[axis] -= 1
                part = [*whole]
                part[number] = tf.zeros(sizes, base.dtype)
                places = {id(item): array for item, array in zip(bases, part, strict=True)}
                if not np.array_equal(value, evaluated(x, places)):
                    return True
    except Exception:  # whatever is made of the sizes may need certain ones
        return True
    return False


def evaluated(item: Any, places: dict[int, Any]) -> Any:
    """An argument with tensors in place of the labelled ones; sizes are computed from those."""
    if not isinstance(item, Tensor):
        return item
    if id(item) not in places and item.made_of is not None:
        function, args, kwargs, number = item.made_of
        args, kwargs = tf.nest.map_structure(lambda part: evaluated(part, places), (args, kwargs))
        places[id(item)] = tf.nest.flatten(function(*args, **kwargs))[number]
    return places[id(item)]
