"""A process of its own for a function: TensorFlow does not give back the memory that it takes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from typing import Any


def apart(function: Callable, *arguments: Any) -> Any:
    """What the function, which a module must hold by name, returns for these arguments.

    Its process ends with this one, also when this one is killed.
    """
    with ProcessPoolExecutor(1, get_context("spawn"), _end_with_parent) as pool:
        return pool.submit(function, *arguments).result()


def _end_with_parent() -> None:
    def wait() -> None:
        parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
