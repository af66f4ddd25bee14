"""A JSON file in which several objects, threads and processes keep their measurements."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import filelock

from keras_spp.util.files import atomic_path, writing_explained

# Seconds to wait for the lock. Replacing a small file takes milliseconds: a longer wait means that
# another program was stopped in the middle of it.
PATIENCE = 60.0


class JsonCache:
    """A JSON file that is read without a lock and changed under one.

    The lock is a file beside it, ".NAME.lock", which stays. The system frees it when its process
    ends, however that ends. Reading needs no lock because the file is only ever replaced whole.

    Args:
        path: The file, which need not exist; its folder must.
        writer: Whose file it is, for messages, such as "spp.Device".
        parse: Checks a file's content and returns what is used of it; raises whatever it does if
            the content is not the writer's.

    Raises:
        TypeError: If `path` is not a string or a path.
        ValueError: If it is a folder, or its folder does not exist.

    Example:
        >>> import tempfile
        >>> cache = JsonCache(Path(tempfile.mkdtemp(), "c.json"), "spp.Example", dict)
        >>> cache.read()
        >>> cache.update(lambda content: {**(content or {}), "a": 1})
        >>> cache.update(lambda content: {**(content or {}), "b": 2})
        >>> cache.read()
        {'a': 1, 'b': 2}
    """

    def __init__(
        self, path: str | os.PathLike[str], writer: str, parse: Callable[[Any], Any]
    ) -> None:
        if not isinstance(path, str | os.PathLike):
            raise TypeError(f"`cache` must name a file (str or os.PathLike) but is {path!r}.")
        self.path, self._writer, self._parse = Path(path), writer, parse
        if not os.fspath(path) or self.path.is_dir() or not self.path.parent.is_dir():
            raise ValueError(
                f"`cache` must name a file in a folder that exists but is {os.fspath(path)!r}."
            )

    def read(self) -> Any:
        """Returns what `parse` makes of the file; None if there is no file.

        Raises:
            ValueError: If the file is not the writer's.
        """
        try:
            return self._parse(json.loads(self.path.read_bytes().decode()))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ValueError(
                f"`cache` must be a file that can be read but {os.fspath(self.path)!r} cannot "
                f"({error.strerror}): name another file."
            ) from error
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            raise ValueError(
                f"`cache` {os.fspath(self.path)!r} is not a file that {self._writer} wrote: name "
                f"another file, or delete it."
            ) from None

    def update(self, change: Callable[[Any], Any]) -> None:
        """Replaces the content, under the lock.

        Args:
            change: Takes what `read` returns and returns the new content; if it raises, the file
                stays as it is.

        Raises:
            OSError: If the file cannot be written.
            TimeoutError: If another program holds the lock and does not let go.
            ValueError: If the file is not the writer's.
        """
        with self._locked():
            content = change(self.read())
            with atomic_path(self.path) as temporary:
                temporary.write_text(json.dumps(content, indent=1) + "\n")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        target = Path(os.path.realpath(self.path))  # one lock for all the links to a file
        lock = filelock.FileLock(target.with_name(f".{target.name}.lock"), timeout=PATIENCE)
        try:
            with writing_explained(self.path, target):
                lock.acquire()
        except filelock.Timeout:
            raise TimeoutError(
                f"`cache` {os.fspath(self.path)!r} has been locked by another program for "
                f"{PATIENCE:g} seconds: end that, or name another file."
            ) from None
        try:
            yield
        finally:
            lock.release()
