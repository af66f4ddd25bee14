"""The program of the process in which Keras is on TensorFlow: `elsewhere` says what it does.

It reads calls of a `Converter`'s methods from its standard input and writes what they return to its
standard output.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pickle
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from keras_spp import frameworks
from keras_spp.export.elsewhere import lacks_tensorflow
from keras_spp.export.specs import Spec
from keras_spp.frameworks.loading import load_model
from keras_spp.util.messages import layer_cause


def serve(calls: BinaryIO, results: BinaryIO) -> None:
    """Answers calls until there are no more."""
    converter: Any = None
    while True:
        try:
            method, args = pickle.load(calls)
        except EOFError:
            return
        try:
            if method == "open":
                converter, result = _opened(*args), None
            else:
                result = getattr(converter, method)(*args)
            answer = (True, result)
        except Exception as error:  # the other process raises it
            answer = (False, _plain(error))
        pickle.dump(answer, results)
        results.flush()


def _opened(
    path: Path, modules: Sequence[str], specs: Sequence[Spec], output_names: Sequence[str]
) -> Any:
    """Returns the converter of a model that another process has just saved."""
    try:
        from keras_spp.export.converter import Converter
    except ImportError as error:
        raise lacks_tensorflow(error) from error
    for module in modules:
        with contextlib.suppress(Exception):  # not all of them are needed
            importlib.import_module(module)
    try:
        # It is the user's own, so that code in it may run.
        model = load_model(path, compile=False, allow_code=True)
        frameworks.of(model)  # an inner layer that fails leaves a Sequential without a graph
    except Exception as error:  # whatever objects of the user's raise
        raise ValueError(
            f"`model` must be one that another process can load, to be exported from a backend "
            f"that is not TensorFlow, but that fails ({_sentence(error.__cause__ or error)}): "
            "define its own layers and functions in a module, not in the program itself, and "
            "register them with keras.saving.register_keras_serializable()."
        ) from error
    return Converter(model, specs, output_names)


def _plain(error: Exception) -> Exception:
    """Returns an error that a process without TensorFlow can unpickle."""
    kind = type(error)
    if isinstance(error, OSError | MemoryError):  # not the model's fault
        return (OSError if isinstance(error, OSError) else MemoryError)(str(error))
    if kind.__module__ != "builtins" or len(error.args) != 1 or "\n" in str(error):
        return ValueError(
            f"`model` must be one that TensorFlow can compute, too, but it fails there "
            f"({_sentence(error)}): export a smaller part of it to find the layer that is to blame."
        )
    return kind(*error.args)


def _sentence(error: BaseException) -> str:
    """Returns the first sentence of an error's cause, without its full stop."""
    return layer_cause(error).partition(". ")[0].rstrip(".")


if __name__ == "__main__":
    # What others print must not be taken for an answer.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    serve(sys.stdin.buffer, answers)
