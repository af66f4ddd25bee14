"""Sizes of a model's inputs: as a user gives them, and as a model declares them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from keras_spp.core.channels import Sizes
from keras_spp.util.messages import example_sizes, layer_cause
from keras_spp.util.names import valid_names


def keys(structure: Any, layer_names: Sequence[str]) -> list[str]:
    """Returns the keys of a dict of tensors, sorted as they are flattened; else other names.

    Args:
        structure: The tensors as a model takes or returns them.
        layer_names: Names of the layers that make them.
    """
    if isinstance(structure, Mapping) and len(structure) == len(layer_names):
        return sorted(structure)
    return list(layer_names)


def fit(declared: Sequence[int | None], sizes: Sequence[int | None]) -> bool:
    """Tells whether sizes agree with declared ones where neither are open."""
    return len(declared) == len(sizes) and all(
        None in pair or pair[0] == pair[1] for pair in zip(declared, sizes, strict=True)
    )


def sizes_of_inputs(
    keys: Sequence[str],
    declared: Sequence[Sizes],
    input_shape: Sequence[int] | Mapping[str, Sequence[int]] | None,
) -> list[Sizes]:
    """Returns the sizes of each input without the batch, in the model's order.

    Args:
        keys: The keys of a dict of inputs.
        declared: The sizes that the model declares, None where it leaves one open.
        input_shape: Sizes for the only input, or a dict from the names of inputs to theirs; None
            for none.

    Returns:
        The given sizes, and for other inputs the declared ones.

    Raises:
        ValueError: If `input_shape` does not fit the model.

    Example:
        >>> sizes_of_inputs(["image"], [(None, None, 3)], (8, 9, 3))
        [(8, 9, 3)]
    """
    names = valid_names(keys)
    if input_shape is None:
        input_shape = {}
    elif not isinstance(input_shape, Mapping):
        if len(names) > 1:
            raise ValueError(
                f"`input_shape` must be a dict from input name to sizes for a model with the "
                f"inputs {', '.join(names)} but is {input_shape!r}."
            )
        input_shape = {names[0]: input_shape}
    renamed = dict(zip(keys, names, strict=True))
    by_name = {renamed.get(key, key): sizes for key, sizes in input_shape.items()}
    if unknown := sorted(map(str, set(by_name) - set(names))):
        raise ValueError(
            f"`input_shape` must name inputs of the model ({', '.join(names)}) but names "
            f"{', '.join(unknown)}."
        )
    return [
        _sizes(name, sizes, by_name.get(name)) for name, sizes in zip(names, declared, strict=True)
    ]


def _sizes(name: str, declared: Sizes, input_shape: Any) -> Sizes:
    if input_shape is None:
        return declared
    try:
        sizes = tuple(map(operator.index, input_shape))  # NumPy's integers too, but no fractions
    except TypeError:
        sizes = ()
    if isinstance(input_shape, str | bytes) or not sizes or min(sizes) < 1:
        raise ValueError(
            f"`input_shape` must be sizes of at least 1 for the input {name!r}, without the batch, "
            f"such as {example_sizes(declared)}, but is {input_shape!r}."
        )
    if not fit(declared, sizes):
        raise ValueError(
            f"`input_shape` must fit the input {name!r}, {declared} without the batch, but is "
            f"{sizes}."
        )
    return sizes


def that_fit(
    declared: Sequence[Sizes], sizes: Sequence[Sequence[Any]] | None
) -> list[Sizes] | None:
    """Returns the sizes of another model's inputs if these inputs take them; otherwise None."""
    if sizes is None or len(sizes) != len(declared) or not all(map(fit, declared, sizes)):
        return None
    return [tuple(size) for size in sizes]


def require_taken(sizes: Sequence[Sizes], attempt: Callable[[], Any]) -> None:
    """Raises ValueError if a model cannot be called on inputs of these sizes.

    Args:
        sizes: The sizes; nothing is said of open ones.
        attempt: Calls the model.

    Raises:
        ValueError: If that fails.
    """
    if any(None in size for size in sizes):
        return
    try:
        attempt()
    except Exception as error:  # whatever layers raise on sizes they were not made for
        listed = ", ".join(map(str, sizes))
        raise ValueError(
            f"`input_shape` must be sizes that the model takes but is {listed}, on which it fails "
            f"({layer_cause(error).rstrip('.')}): give others."
        ) from error
