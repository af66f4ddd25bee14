"""Initializers of a copy whose weights get other sizes than the original's.

`Constant` of a matrix of word vectors, or a function that closes over one, makes weights of one
size alone. Where a copy's weights are set afterwards their initial values are of no use, but a
copy that cannot be built, or not be loaded from its file, is of none either.
"""

from __future__ import annotations

import contextlib
import inspect
import json
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf
import tf_keras as keras

from keras_spp.frameworks.tf_keras import private
from keras_spp.util.messages import first_line


def build_in_any_size(layer: keras.layers.Layer) -> None:
    """Lets a new layer, when it is built, give up the initializers that do not serve its sizes.

    They become what the layer's class has as a default. All others stay the user's own, for
    whoever trains the smaller model from scratch.
    """
    build = layer.build
    if hasattr(build, "_is_default"):  # nothing to build
        return

    def build_once(*args: Any, **kwargs: Any) -> None:
        del vars(layer)["build"]
        try:
            with _replacing_what_fails(layer):
                build(*args, **kwargs)
        except Exception as error:  # whatever a user's class raises
            raise ValueError(
                f"`model` has a layer {layer.name!r} ({type(layer).__name__}) whose copy cannot "
                f"be built in another size ({first_line(error)}): its rule must resize every "
                "entry of the config that depends on its channels."
            ) from error

    build_once.__dict__.update(vars(build))
    vars(layer)["build"] = build_once  # past Keras' tracking: it is gone when the layer is built


class _Tried:
    """An initializer that answers with zeros, and remembers it, where it would fail."""

    def __init__(self, inner: Callable[..., Any]) -> None:
        self.inner, self.failed = inner, False

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> tf.Tensor:
        with contextlib.suppress(Exception):  # whatever a user's initializer raises
            value = tf.convert_to_tensor(self.inner(shape, dtype=dtype, **kwargs), dtype)
            if value.shape == tf.TensorShape(shape):
                return value
        self.failed = True
        return tf.zeros(shape, dtype or tf.float32)


@contextlib.contextmanager
def _replacing_what_fails(layer: keras.layers.Layer) -> Iterator[None]:
    """Tries every initializer that the layer and those inside hold, and replaces what failed."""
    tried: dict[int, _Tried] = {}
    for part, name, value in _initializers(layer):
        vars(part)[name] = tried.setdefault(id(value), _Tried(value))
    try:
        yield
    finally:  # layers that were made while building may hold them as well
        for part, name, value in _initializers(layer):
            if isinstance(value, _Tried):
                vars(part)[name] = value.inner
    failed = [entry.inner for entry in tried.values() if entry.failed]
    if not failed:
        return
    substitutes = {}
    for part, name, value in _initializers(layer):
        if any(_equal(value, other) for other in failed):
            substitute = _default(part, name)
            setattr(part, name, substitute)
            substitutes[_said(value)] = keras.initializers.serialize(substitute)
    for part in parts(layer):
        config = private.backward_config(part)
        if config is not None:
            private.replace_backward_config(part, _substituted(config, substitutes))


def _initializers(layer: keras.layers.Layer) -> list[tuple[keras.layers.Layer, str, Any]]:
    return [
        (part, name, value)
        for part in parts(layer)
        for name, value in vars(part).items()
        if callable(value)
        and not inspect.isclass(value)
        and (
            isinstance(value, keras.initializers.Initializer | _Tried)
            or name.endswith("initializer")
        )
    ]


def parts(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """A layer and the layers in its attributes: cells, the two of Bidirectional..."""
    found: dict[int, keras.layers.Layer] = {}

    def walk(part: keras.layers.Layer) -> None:
        if id(part) in found:
            return
        found[id(part)] = part
        for value in vars(part).values():
            for inner in value if isinstance(value, list | tuple) else [value]:
                if isinstance(inner, keras.layers.Layer):
                    walk(inner)

    walk(layer)
    return list(found.values())


def _equal(first: Any, second: Any) -> bool:
    """Whether two initializers are one, or one read from the other's config."""
    return first is second or (_said(first) is not None and _said(first) == _said(second))


def _said(initializer: Any) -> str | None:
    if not hasattr(initializer, "get_config"):
        return None
    try:
        return _text(keras.initializers.serialize(initializer))
    except Exception:  # whatever a user's class raises
        return None


def _text(config: Any) -> str:
    return json.dumps(_plain(config), sort_keys=True, default=repr)


def _plain(config: Any) -> Any:
    """Keras wraps what a layer holds in classes that json does not know."""
    if isinstance(config, dict):
        return {key: _plain(entry) for key, entry in config.items()}
    return [_plain(entry) for entry in config] if isinstance(config, list | tuple) else config


def _default(part: keras.layers.Layer, name: str) -> Any:
    """What an initializer is in a layer of this class that is given none."""
    for kind in type(part).__mro__:
        parameter = inspect.signature(kind).parameters.get(name)
        if parameter is not None and isinstance(parameter.default, str):
            return keras.initializers.get(parameter.default)
    return keras.initializers.Zeros()


def _substituted(config: Any, substitutes: dict[str | None, Any]) -> Any:
    """A plain config with other initializers in the place of some."""
    if isinstance(config, dict):
        entries = {key: _substituted(entry, substitutes) for key, entry in config.items()}
        return substitutes.get(_text(config), entries)
    return (
        [_substituted(entry, substitutes) for entry in config]
        if isinstance(config, list)
        else config
    )
