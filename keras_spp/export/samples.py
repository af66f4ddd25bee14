"""Data of users as checked arrays, one for each input of a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from keras_spp import frameworks
from keras_spp.frameworks.data import batches
from keras_spp.frameworks.interface import Model


def arrays(
    model: Model,
    data: Any,
    shapes: Sequence[Sequence[int]],
    argument: str = "representative_data",
) -> Iterator[tuple[list[np.ndarray], Any]]:
    """Yields batches of samples in the order of the model's inputs, whatever form the data has.

    Args:
        model: The model, which says how its inputs are nested, named and typed.
        data: As for `batches`; a batch for several inputs is a list in the order of
            `model.inputs`, or a dict from the name of each input.
        shapes: The sizes of each input without the batch.
        argument: The name of the argument, for messages.

    Yields:
        One array of shape (samples, *sizes) and of the input's dtype for each input, and the
        targets that came with them, or None.

    Raises:
        TypeError: If there is no data, or it has another form.
        ValueError: If it is empty or not finite, or if names, shapes or dtypes do not fit.

    Example:
        >>> import tf_keras as keras
        >>> a, b = keras.Input((2,), name="a"), keras.Input((3,), name="b")
        >>> model = keras.Model([b, a], keras.layers.Concatenate()([a, b]))
        >>> data = [{"a": np.zeros((5, 2)), "b": np.zeros((5, 3))}]
        >>> [array.shape for array in next(arrays(model, data, [(3,), (2,)]))[0]]
        [(5, 3), (5, 2)]
    """
    framework = frameworks.of(model)
    names, dtypes = framework.input_keys(model), framework.input_types(model)
    for batch in batches(data, argument=argument, targets=None):
        inputs, targets = (batch[0], batch[1:2]) if isinstance(batch, tuple) else (batch, ())
        if isinstance(inputs, Mapping):
            if missing := [name for name in names if name not in inputs]:
                raise ValueError(
                    f"`{argument}` must hold every input of the model ({', '.join(names)}) but "
                    f"lacks {', '.join(missing)}."
                )
            inputs = [inputs[name] for name in names]
        elif not isinstance(inputs, list | tuple):
            inputs = [inputs]
        if len(inputs) != len(names):
            raise ValueError(
                f"`{argument}` must yield {len(names)} arrays for the inputs {', '.join(names)}, "
                f"as a list or a dict, but yields {len(inputs)}."
            )
        checked = [
            _checked(array, name, shape, dtype, argument)
            for array, name, shape, dtype in zip(inputs, names, shapes, dtypes, strict=True)
        ]
        if len({len(array) for array in checked}) > 1:
            sizes = ", ".join(str(len(array)) for array in checked)
            raise ValueError(
                f"`{argument}` must hold as many samples for one input as for the other but a "
                f"batch has {sizes}."
            )
        yield checked, targets[0] if targets else None


def _checked(value: Any, name: str, shape: Sequence[int], dtype: Any, argument: str) -> np.ndarray:
    """Returns an array of samples of the sizes and dtype of an input."""
    array = np.asarray(value)
    if not np.can_cast(array.dtype, dtype, "same_kind"):
        raise ValueError(
            f"`{argument}` must hold {np.dtype(dtype)} for the input {name!r} but holds "
            f"{array.dtype}."
        )
    fits = array.ndim == len(shape) + 1 and all(
        declared in (-1, size) for declared, size in zip(shape, array.shape[1:], strict=True)
    )
    if not fits:
        sizes = ", ".join("?" if size == -1 else str(size) for size in shape)
        raise ValueError(
            f"`{argument}` must yield batches of shape (samples, {sizes}) for the input {name!r} "
            f"but yields {array.shape}."
        )
    with np.errstate(over="ignore"):
        array = array.astype(dtype)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(
            f"`{argument}` must be finite but holds NaN or infinity for the input {name!r}."
        )
    return array


def chunks(
    inputs: Sequence[np.ndarray], size: int | None
) -> Iterator[tuple[list[np.ndarray], int]]:
    """Cuts samples into batches of one size.

    Args:
        inputs: Arrays of shape (samples, ...).
        size: How many samples a batch holds; None for one batch of all.

    Yields:
        The arrays of a batch, and how many samples of it count: the last batch is filled up with
        its last sample.

    Example:
        >>> [(batch[0].tolist(), count) for batch, count in chunks([np.arange(3)], 2)]
        [([0, 1], 2), ([2, 2], 1)]
    """
    samples = len(inputs[0])
    size = size or samples
    for start in range(0, samples, size or 1):
        place = np.minimum(np.arange(start, start + size), samples - 1)
        yield [array[place] for array in inputs], min(size, samples - start)
