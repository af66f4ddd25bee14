"""A process of its own for a function: TensorFlow does not give back the memory that it takes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any


def apart(function: Callable, *arguments: Any) -> Any:
    """What the function, which a module must hold by name, returns for these arguments."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()
