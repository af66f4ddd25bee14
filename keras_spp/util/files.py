"""Writing files so that a failure never leaves half of one behind."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path that becomes `path` when the block succeeds.

    The temporary file lies beside `path`, has its suffixes (many writers choose the format by them)
    and exists already when the block starts, so a folder that cannot be written is reported
    before any slow work. Other processes see either the previous file or the new one, whole.
    A symbolic link is followed: the file it points to is replaced, not the link.

    Args:
        path: Where the file should end up; its folder must exist.

    Yields:
        The path of an empty temporary file to write to.

    Raises:
        TypeError: If `path` is not a string or a path.
        FileNotFoundError: If the folder of `path` does not exist.
        NotADirectoryError: If the folder of `path` is a file.
        IsADirectoryError: If `path` is a folder.
        PermissionError: If the folder does not permit writing.
        OSError: If the system refuses for another reason, such as a full disk.

    Example:
        >>> import pathlib, tempfile
        >>> target = pathlib.Path(tempfile.mkdtemp(), "numbers.txt")
        >>> with atomic_path(target) as temporary:
        ...     _ = temporary.write_text("1 2 3")
        >>> target.read_text()
        '1 2 3'
    """
    target, temporary = _beside(path)
    try:
        with _full_disk_explained(f"`path` is {os.fspath(path)!r}, which"):
            yield temporary
        with writing_explained(path, target):
            os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _beside(path: str | os.PathLike[str]) -> tuple[Path, Path]:
    """Returns where a file will end up, and a new empty file beside it; see `atomic_path`."""
    if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
        raise TypeError(f"`path` must name a file (str or os.PathLike) but is {path!r}.")
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{uuid.uuid4().hex[:12]}{''.join(target.suffixes)}")
    with writing_explained(path, target):
        _check_replaceable(target)
        # Plain open() permissions: unlike the files of tempfile, the result is not private.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    return target, temporary


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raises what `atomic_path` would, for a file that is written after much else.

    Args:
        path: Where the file will end up.

    Raises:
        OSError: If it cannot be written there.

    Example:
        >>> check_writable("/none/m.tflite")
        Traceback (most recent call last):
        FileNotFoundError: `path` is '/none/m.tflite' but the folder '/none' does not exist: \
create it first.
    """
    _, temporary = _beside(path)
    temporary.unlink()


def check_apart(what: str, path: Any, others: Mapping[str, Any]) -> None:
    """Raises ValueError if a file to be written is one of those that are read, or lies in one.

    Files are compared, not names: symbolic and hard links, other spellings of a path, and letters
    whose case the file system ignores, lead to the same file.

    Args:
        what: What is written, as the message calls it.
        path: Where; anything but a path is left to the code that writes it.
        others: Files and folders by what the message calls them; None for those not given.

    Raises:
        ValueError: If the file is one of the others or lies in one.

    Example:
        >>> check_apart("`path`", "./m.keras", {"`model`": "m.keras"})
        Traceback (most recent call last):
        ValueError: `path` is './m.keras', the same file as `model` 'm.keras': choose another place.
    """
    if not isinstance(path, str | os.PathLike):
        return
    place = Path(os.path.realpath(path))
    for name, other in others.items():
        if other is None:
            continue
        relation = None
        if _is_same(path, other):
            relation = "the same file as"
        elif any(_is_same(folder, other) for folder in place.parents):
            relation = "which lies in"
        if relation:
            raise ValueError(
                f"{what} is {os.fspath(path)!r}, {relation} {name} {os.fspath(other)!r}: choose "
                f"another place."
            )


def _is_same(path: Any, other: Any) -> bool:
    try:
        return os.path.samefile(path, other)
    except OSError:  # one of them does not exist yet
        return os.path.realpath(path) == os.path.realpath(other)


def read_file(path: str | os.PathLike[str]) -> bytes:
    """Returns the content of a file.

    Raises:
        TypeError: If `path` is not a string or a path.
        FileNotFoundError: If there is no such file.
        OSError: If it cannot be read.

    Example:
        >>> read_file("none.tflite")
        Traceback (most recent call last):
        FileNotFoundError: `path` must be a file but 'none.tflite' does not exist.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"`path` must name a file (str or os.PathLike) but is {path!r}.")
    try:
        return Path(path).read_bytes()
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"`path` must be a file but {os.fspath(path)!r} does not exist."
        ) from error
    except OSError as error:
        raise type(error)(
            f"`path` must be a file that can be read but {os.fspath(path)!r} cannot "
            f"({error.strerror})."
        ) from error


def _check_replaceable(target: Path) -> None:
    """Raises OSError for what a file must not replace: a folder, a device, a pipe."""
    if target.is_dir():
        raise IsADirectoryError
    if target.exists() and not target.is_file():
        raise OSError(None, "it is a device or a pipe, not a file")


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yields a folder that is deleted afterwards.

    Raises:
        OSError: If there is no room for what is written to it.

    Example:
        >>> with temporary_folder() as folder:
        ...     _ = (folder / "numbers.txt").write_text("1 2 3")
        >>> folder.exists()
        False
    """
    with (
        _full_disk_explained(f"the folder for temporary files, {tempfile.gettempdir()!r},"),
        tempfile.TemporaryDirectory() as folder,
    ):
        yield Path(folder)


@contextlib.contextmanager
def _full_disk_explained(what: str) -> Iterator[None]:
    """Turns the error of a disk that is full, or that fails while writing, into one sentence."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise OSError(
            f"{what} cannot be written ({os.strerror(error.errno)}): make room there or choose "
            "another place."
        ) from error


@contextlib.contextmanager
def writing_explained(path: str | os.PathLike[str], target: Path) -> Iterator[None]:
    """Turns the system's errors into one sentence each that names the argument and the remedy."""
    received, folder = repr(os.fspath(path)), repr(str(target.parent))
    try:
        yield
    except IsADirectoryError as error:
        raise IsADirectoryError(
            f"`path` must name a file but {received} is a folder: add a file name to it."
        ) from error
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"`path` is {received} but the folder {folder} does not exist: create it first."
        ) from error
    except NotADirectoryError as error:
        raise NotADirectoryError(
            f"`path` is {received} but {folder} is not a folder: choose another place."
        ) from error
    except PermissionError as error:
        raise PermissionError(
            f"`path` is {received} but the folder {folder} does not permit writing: change its "
            "permissions or choose another place."
        ) from error
    except TimeoutError:  # not the system's: somebody holds a lock
        raise
    except OSError as error:
        raise OSError(
            f"`path` is {received}, which cannot be written ({error.strerror or error}): choose "
            "another place."
        ) from error
