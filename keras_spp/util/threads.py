"""How many threads linear algebra takes."""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager
from typing import Any

import threadpoolctl

WIDE = 2048  # matrices that are narrower are done before a second thread has begun


def threads_for(width: int) -> AbstractContextManager[Any]:
    """Returns a context in which NumPy and SciPy take one thread for matrices that are not wide.

    Their threads wait busily for each other. Beside those of a framework, or of another program,
    solving for 144 unknowns took 200 ms on two cores instead of 0.2.

    Args:
        width: Rows or columns of the largest matrix.
    """
    limits = 1 if width < WIDE else None
    return _controller().limit(limits=limits, user_api="blas")


@functools.cache
def _controller() -> threadpoolctl.ThreadpoolController:
    return threadpoolctl.ThreadpoolController()
