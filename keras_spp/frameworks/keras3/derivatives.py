"""Derivatives of a number by variables, on each backend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np


def derivatives(
    scalar: Callable[..., Any], variables: Sequence[keras.Variable]
) -> Callable[..., list[np.ndarray]]:
    """Returns a function that differentiates another one by variables that it reads.

    Args:
        scalar: A function of tensors that returns one number.
        variables: The variables.

    Returns:
        A function of the same tensors: the derivatives, each of its variable's shape; zeros by
        variables that are not read.
    """
    match keras.backend.backend():
        case "tensorflow":
            from keras_spp.frameworks.tensorflow import derivatives as on_tensorflow

            values = [variable.value for variable in variables]
            return on_tensorflow.derivatives(scalar, values)
        case "jax":
            computed = _on_jax(scalar, variables)
        case _:
            computed = _on_torch(scalar, variables)
    return lambda *tensors: [keras.ops.convert_to_numpy(x) for x in computed(*tensors)]


def _on_jax(scalar: Callable[..., Any], variables: Sequence[keras.Variable]) -> Callable[..., Any]:
    import jax

    gradient = jax.jit(jax.grad(_of_values(scalar, variables)))
    return lambda *tensors: gradient([variable.value for variable in variables], *tensors)


def _on_torch(
    scalar: Callable[..., Any], variables: Sequence[keras.Variable]
) -> Callable[..., Any]:
    import torch

    def computed(*tensors: Any) -> Any:
        values = [variable.value.detach().requires_grad_() for variable in variables]
        result = _of_values(scalar, variables)(values, *tensors)
        return torch.autograd.grad(result, values, allow_unused=True, materialize_grads=True)

    return computed


def _of_values(
    scalar: Callable[..., Any], variables: Sequence[keras.Variable]
) -> Callable[..., Any]:
    """Returns the function, made one of the variables' values too."""

    def of(values: Sequence[Any], *tensors: Any) -> Any:
        mapping = list(zip(variables, values, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            return scalar(*tensors)

    return of
