"""Keras' progress bar, for what takes long and is no training."""

from __future__ import annotations

import tf_keras as keras


def progress_bar(total: int, verbose: int, unit_name: str) -> keras.utils.Progbar:
    """Returns Keras' progress bar: `add` and `update` move it.

    Args:
        total: Units until it is full.
        verbose: 0 shows nothing, more than that the bar.
        unit_name: What one unit is.
    """
    return keras.utils.Progbar(total, verbose=min(verbose, 1), unit_name=unit_name)
