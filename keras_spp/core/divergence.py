"""How differently two networks decide, by all that their outputs say about each sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

SPREAD = 3.0  # the standard deviation of what is compared: less would be the squared change again


def divergence(dense: Sequence[Any], outputs: Sequence[Any]) -> float:
    """Returns the mean Kullback-Leibler divergence of softmaxes over the outputs' last axes.

    Unlike the squared change it asks which outputs of a sample are the largest: an error that all
    of them share counts nothing, and one of those far below the largest counts little.

    Args:
        dense: Outputs of one network, such as logits. All are brought to one spread first, so
            that it does not matter how confident the network is.
        outputs: Those of another one. Outputs of one number for each sample count nothing.

    Example:
        >>> logits = np.array([[4.0, 0.0, 0.0], [0.0, 4.0, 0.0]])
        >>> divergence([logits], [logits + 1]), divergence([logits], [logits[::-1]]) > 1
        (0.0, True)
    """
    results = []
    for before, after in zip(dense, outputs, strict=True):
        before, after = np.asarray(before, np.float64), np.asarray(after, np.float64)
        if before.ndim < 2:
            before, after = before[:, None], after[:, None]
        scale = SPREAD / (before.std() or 1)
        first, second = _log_softmax(scale * before), _log_softmax(scale * after)
        results.append((np.exp(first) * (first - second)).sum(-1).mean())
    return float(np.mean(results))


def _log_softmax(x: np.ndarray) -> np.ndarray:
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))
