"""Initializers of a copy whose weights get other sizes than the original's.

`Constant` of a matrix of word vectors, or a function that closes over one, makes weights of one
size only. The copy's weights are set afterwards, so their initial values do not matter; but they
must not keep the copy from being built, or loaded from its file.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from keras_spp.core.kinds import is_a
from keras_spp.util.messages import first_line


@dataclass(frozen=True)
class Library:
    """What one of the Keras has for this.

    Attributes:
        initializers: Its module of initializers.
        tensor: Makes a tensor of a value, of a type or of the value's own.
        zeros: Makes one of zeros, of a shape and a type.
        backward_config: Returns the copy of a config that a layer keeps of a part, or None.
        replace_backward_config: Replaces that copy.
    """

    initializers: Any
    tensor: Callable[[Any, Any], Any]
    zeros: Callable[[Any, Any], Any]
    backward_config: Callable[[Any], Any] = lambda layer: None
    replace_backward_config: Callable[[Any, Any], None] = lambda layer, config: None


def build_in_any_size(layer: Any, library: Library) -> None:
    """Makes a new layer replace, when it is built, the initializers that fail for its sizes.

    They become the default of the layer's class. All others stay the user's own, for training the
    smaller model from scratch.

    Args:
        layer: The new layer.
        library: Its Keras.
    """
    build = layer.build
    if hasattr(build, "_is_default"):  # nothing to build
        return

    own = vars(layer).get("build")  # Keras 3 gives every layer one of its own

    @functools.wraps(build)
    def build_once(*args: Any, **kwargs: Any) -> None:
        if own is None:
            del vars(layer)["build"]
        else:
            vars(layer)["build"] = own
        try:
            with _replacing_failed(layer, library):
                build(*args, **kwargs)
        except Exception as error:  # whatever a user's class raises
            raise ValueError(
                f"`model` has a layer {layer.name!r} ({type(layer).__name__}) whose copy cannot "
                f"be built in another size ({first_line(error)}): its rule must resize every "
                "entry of the config that depends on its channels."
            ) from error

    vars(layer)["build"] = build_once  # not tracked by Keras: it goes when the layer is built


class _Fallback:
    """An initializer that returns zeros where the inner one fails, and remembers that."""

    def __init__(self, inner: Callable[..., Any], library: Library) -> None:
        self.inner, self.library, self.failed = inner, library, False

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        with contextlib.suppress(Exception):  # whatever a user's initializer raises
            value = self.library.tensor(self.inner(shape, dtype=dtype, **kwargs), dtype)
            if tuple(value.shape) == tuple(shape):
                return value
        self.failed = True
        return self.library.zeros(shape, dtype or "float32")


@contextlib.contextmanager
def _replacing_failed(layer: Any, library: Library) -> Iterator[None]:
    """Tries every initializer of a layer and of those inside it, and replaces those that fail."""
    fallbacks: dict[int, _Fallback] = {}
    for part, name, value in _initializers(layer, library):
        vars(part)[name] = fallbacks.setdefault(id(value), _Fallback(value, library))
    try:
        yield
    finally:  # layers that were made while building may hold them as well
        for part, name, value in _initializers(layer, library):
            if isinstance(value, _Fallback):
                vars(part)[name] = value.inner
    failed = [entry.inner for entry in fallbacks.values() if entry.failed]
    if not failed:
        return
    substitutes = {}
    for part, name, value in _initializers(layer, library):
        if any(_is_same(value, other, library) for other in failed):
            substitute = _default(part, name, library)
            setattr(part, name, substitute)
            substitutes[_serialized(value, library)] = library.initializers.serialize(substitute)
    for part in layers_in(layer):
        config = library.backward_config(part)
        if config is not None:
            library.replace_backward_config(part, _substitute(config, substitutes))


def _initializers(layer: Any, library: Library) -> list[tuple[Any, str, Any]]:
    return [
        (part, name, value)
        for part in layers_in(layer)
        for name, value in vars(part).items()
        if callable(value)
        and not inspect.isclass(value)
        and (
            isinstance(value, library.initializers.Initializer | _Fallback)
            or name.endswith("initializer")
        )
    ]


def layers_in(layer: Any) -> list[Any]:
    """Returns a layer and the layers in its attributes: cells, the two of Bidirectional..."""
    parts_by_id: dict[int, Any] = {}

    def walk(part: Any) -> None:
        if id(part) in parts_by_id:
            return
        parts_by_id[id(part)] = part
        for value in vars(part).values():
            for inner in value if isinstance(value, list | tuple) else [value]:
                if is_a(inner, "Layer"):
                    walk(inner)

    walk(layer)
    return list(parts_by_id.values())


def _is_same(first: Any, second: Any, library: Library) -> bool:
    """Tells whether two initializers are the same object, or have the same config."""
    if first is second:
        return True
    config = _serialized(first, library)
    return config is not None and config == _serialized(second, library)


def _serialized(initializer: Any, library: Library) -> str | None:
    if not hasattr(initializer, "get_config"):
        return None
    try:
        return _as_json(library.initializers.serialize(initializer))
    except Exception:  # whatever a user's class raises
        return None


def _as_json(config: Any) -> str:
    return json.dumps(_plain(config), sort_keys=True, default=repr)


def _plain(config: Any) -> Any:
    """Returns a config of dicts and lists: Keras' own classes of these confuse json."""
    if isinstance(config, dict):
        return {key: _plain(entry) for key, entry in config.items()}
    return [_plain(entry) for entry in config] if isinstance(config, list | tuple) else config


def _default(part: Any, name: str, library: Library) -> Any:
    """Returns the initializer of a layer of this class that is given none."""
    for kind in type(part).__mro__:
        parameter = inspect.signature(kind).parameters.get(name)
        if parameter is not None and isinstance(parameter.default, str):
            return library.initializers.get(parameter.default)
    return library.initializers.Zeros()


def _substitute(config: Any, substitutes: dict[str | None, Any]) -> Any:
    """Returns a plain config in which some initializers are replaced."""
    if isinstance(config, dict):
        entries = {key: _substitute(entry, substitutes) for key, entry in config.items()}
        return substitutes.get(_as_json(config), entries)
    return (
        [_substitute(entry, substitutes) for entry in config]
        if isinstance(config, list)
        else config
    )
