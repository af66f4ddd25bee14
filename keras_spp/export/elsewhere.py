"""Where a model is converted: here, or in a process in which Keras is on TensorFlow.

Keras 3 chooses its backend once for a process. A model on another backend is saved and loaded again
in a process of its own, on TensorFlow; nothing is changed in this one.
"""

from __future__ import annotations

import contextlib
import functools
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from keras_spp import frameworks
from keras_spp.export.specs import Spec
from keras_spp.frameworks.interface import Model
from keras_spp.util.files import temporary_folder
from keras_spp.util.messages import first_line, last_line
from keras_spp.util.processes import command
from keras_spp.version import STACK

# Packages whose classes a process has without being told to import them.
_KNOWN = frozenset({"builtins", "jax", "jaxlib", "keras", "numpy", "torch", "__main__"})


def converter_of(model: Model, specs: Sequence[Spec], output_names: Sequence[str]) -> Any:
    """Returns the `Converter` of a model, here or elsewhere.

    Raises:
        ImportError: If TensorFlow is not installed.
        ValueError: If the model cannot be saved, or not loaded elsewhere.
    """
    if frameworks.of(model).backend() != "tensorflow":
        return _Elsewhere(model, specs, output_names)
    # TensorFlow is imported for models that are on it alone.
    from keras_spp.export.converter import Converter

    return Converter(model, specs, output_names)


@contextlib.contextmanager
def kept_open() -> Iterator[None]:
    """Lets all models that are converted in the block share a process, which ends with it."""
    if _processes.get() is not None:  # a block around this one does so
        yield
        return
    started: list[_Process] = []
    token = _processes.set(started)
    try:
        yield
    finally:
        _processes.reset(token)
        for process in started:
            process.stop()


# The process of the outermost block, once it is needed; None outside of all.
_processes: ContextVar[list[_Process] | None] = ContextVar("_processes", default=None)


class _Elsewhere:
    """A `Converter` in the process of the block; its methods do there what they say."""

    def __init__(self, model: Model, specs: Sequence[Spec], output_names: Sequence[str]) -> None:
        processes = _processes.get()
        assert processes is not None
        if not processes:
            processes.append(_Process())
        (self._process,) = processes
        framework = frameworks.of(model)
        with temporary_folder() as folder:
            path = folder / "model.keras"
            try:
                framework.save(model, path)
            except OSError:
                raise
            except Exception as error:  # whatever a user's get_config raises
                raise ValueError(
                    f"`model` must be one that Keras can save to be exported from the backend "
                    f"{framework.backend()!r}, but that fails ({first_line(error)}): mend it, or "
                    "run on the backend 'tensorflow'."
                ) from error
            self._process.call("open", path, _modules(model), specs, output_names)

    def __getattr__(self, method: str) -> Any:
        return functools.partial(self._process.call, method)


class _Process:
    """A process in which Keras is on TensorFlow."""

    def __init__(self) -> None:
        self._said = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115  (see `stop`)
        self._process = subprocess.Popen(
            command(str(Path(__file__).with_name("on_tensorflow.py"))),
            env={
                **os.environ,
                "KERAS_BACKEND": "tensorflow",
                "PYTHONPATH": os.pathsep.join(sys.path),
                "CUDA_VISIBLE_DEVICES": "-1",  # its memory is this process' own
                "TF_CPP_MIN_LOG_LEVEL": "3",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
        )

    def call(self, method: str, *args: Any) -> Any:
        """Returns what a method of the other process' `Converter` returns, or raises its error.

        Raises:
            ChildProcessError: If the process has ended.
        """
        try:
            pickle.dump((method, args), self._process.stdin)  # type: ignore[arg-type]
            self._process.stdin.flush()  # type: ignore[union-attr]
            succeeded, result = pickle.load(self._process.stdout)  # type: ignore[arg-type]
        except (OSError, EOFError) as error:
            code = self._process.wait()
            self._said.seek(0)
            said = last_line(self._said.read(), f"exit code {code}")
            raise ChildProcessError(
                f"`model` is exported by a process on TensorFlow, which has ended ({said}): run on "
                "the backend 'tensorflow' to see why."
            ) from error
        if not succeeded:
            raise result
        return result

    def stop(self) -> None:
        """Ends the process."""
        with contextlib.suppress(OSError):
            self._process.stdin.close()  # type: ignore[union-attr]
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()  # type: ignore[union-attr]
        self._said.close()


def lacks_tensorflow(error: ImportError) -> ImportError:
    """Returns an error of one sentence for a TensorFlow that cannot be imported."""
    return ImportError(
        f"export needs TensorFlow, whatever the model is on, because TFLite's converter is part of "
        f'it ({first_line(error)}): run `pip install "tensorflow{STACK["tensorflow"]}"`.'
    )


def _modules(model: Model) -> list[str]:
    """Lists the modules that define what a model is made of, other than Keras' own."""
    kinds = {type(model)}
    names = set()
    for part in frameworks.of(model).operations(model):
        kinds.add(type(part))
        values = [
            value
            for entry in vars(part).values()
            for value in (entry if isinstance(entry, list | tuple) else [entry])
        ]
        for value in values:
            kinds.add(type(value))
            names.add(getattr(value, "__module__", None))  # of a function, such as an activation
    names |= {kind.__module__ for kind in kinds}
    return sorted(
        name for name in names if isinstance(name, str) and name.partition(".")[0] not in _KNOWN
    )
