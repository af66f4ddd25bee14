"""Two Keras 3 models of one structure, run side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_spp.frameworks import lockstep
from keras_spp.frameworks.keras3 import graph, private
from keras_spp.frameworks.keras3.inference import reset
from keras_spp.frameworks.keras3.variables import read, write

ops = keras.ops


def conformed(model: keras.Model, batch: Any) -> list[Any]:
    """Returns what a model is called with as tensors of its inputs' types, in their order."""
    return private.conformed(model, keras.tree.map_structure(ops.convert_to_tensor, batch))


@dataclass(frozen=True)
class _Held:
    """An array at half its size: float16, scaled to its own range."""

    values: np.ndarray
    scale: np.ndarray | None
    dtype: Any
    mask: Any

    def tensor(self) -> Any:
        """Returns it as a tensor in its own type again."""
        values = self.values
        if self.scale is not None:
            values = values.astype(self.dtype) * self.scale
        tensor = ops.convert_to_tensor(values)
        return tensor if self.mask is None else private.with_sequence_mask(tensor, self.mask)

    @property
    def bytes(self) -> int:
        """How much memory that takes."""
        return self.values.nbytes


class Lockstep(lockstep.Lockstep):
    """`keras_spp.frameworks.lockstep.Lockstep` of Keras 3 models."""

    graph = graph

    def conformed(self, model: keras.Model, batch: Any) -> list[Any]:
        """Returns what a model is called with as tensors of its inputs' types, in their order."""
        return conformed(model, batch)

    def held(self, tensor: Any) -> _Held:
        """Holds a tensor at half its size, if it can be."""
        values, mask = ops.convert_to_numpy(tensor), private.sequence_mask(tensor)
        if values.dtype not in (np.float32, np.float64):
            return _Held(values, None, values.dtype, mask)
        largest = np.abs(values).max(initial=0)
        if not 0 < largest < np.finfo(values.dtype).max:  # nothing to scale by
            return _Held(values, None, values.dtype, mask)
        scale = np.exp2(np.ceil(np.log2(largest)))
        return _Held((values / scale).astype(np.float16), scale, values.dtype, mask)

    def held_as_it_is(self, tensor: Any) -> _Held:
        """Holds a tensor."""
        values = ops.convert_to_numpy(tensor)
        return _Held(values, None, values.dtype, private.sequence_mask(tensor))

    def reset(self, model: keras.Model) -> None:
        """Resets the states of recurrent layers."""
        reset(model)

    def read(self, variable: Any) -> np.ndarray:
        """Returns a variable's value."""
        return read(variable)

    def write(self, variable: Any, value: Any) -> None:
        """Gives a variable such a value back."""
        write(variable, value)
