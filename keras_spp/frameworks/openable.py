"""Declares that a layer may be opened: what hides inside it takes its place, in either Keras."""

from __future__ import annotations

from keras_spp.core.kinds import is_subclass

_OPENABLE: set[type] = set()


def openable(kind: type) -> type:
    """Declares that a composite layer's `call` may be replaced by the layers that it calls.

    Its `call` must do the same in training and in inference except through the layers that it
    calls, and must create no weights. Usable as a decorator.

    Args:
        kind: A layer class of tf_keras or of Keras 3.

    Returns:
        The class.

    Raises:
        TypeError: If it is not a layer class.

    Example:
        >>> import keras_spp as spp, tf_keras as keras
        >>> @spp.openable
        ... class Block(keras.layers.Layer):
        ...     def __init__(self, **kwargs):
        ...         super().__init__(**kwargs)
        ...         self.wide = keras.layers.Dense(16, activation="relu")
        ...         self.narrow = keras.layers.Dense(4)
        ...     def call(self, x):
        ...         return x + self.narrow(self.wide(x))
        >>> x = keras.Input((4,))
        >>> [row.groups for row in spp.analyze(keras.Model(x, Block()(x)))]
        [16, 0]
    """
    if not (isinstance(kind, type) and is_subclass(kind, "Layer")):
        raise TypeError(f"`kind` must be a Keras layer class but is {kind!r}.")
    _OPENABLE.add(kind)
    return kind


def is_declared(kind: type) -> bool:
    """Tells whether a layer class is declared to be openable."""
    return kind in _OPENABLE
