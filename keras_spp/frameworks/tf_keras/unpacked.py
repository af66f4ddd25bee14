"""Bounds how much a saved model unpacks to, before anything is unpacked."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import tensorflow as tf

from keras_spp.frameworks.tf_keras import private

ALWAYS = 64 * 2**20  # bytes that any file may unpack to
TIMES = 100  # a larger file may unpack to this times its size; 75 % zeros compress to about 1/5
_OBJECTS = 24  # a list in JSON is 3 bytes long, in Python 72


class TooLarge(Exception):
    """A file unpacks to more than it may."""


def budget(path: Path) -> int:
    """Returns how many bytes a file, or all those in a folder, may unpack to.

    Example:
        >>> budget(Path("none"))
        67108864
    """
    files = path.rglob("*") if path.is_dir() else [path]
    return max(ALWAYS, TIMES * sum(file.stat().st_size for file in files if file.is_file()))


def check_unpacked(path: Path) -> None:
    """Raises TooLarge if a file unpacks to more than its budget: archives, arrays, configurations.

    It also does so if the file takes arrays from other files.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "zeros.h5")
        >>> with h5py.File(path, "w") as file:
        ...     _ = file.create_dataset("zeros", (2**30,), "float32")
        >>> check_unpacked(path)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        keras_spp...TooLarge: it unpacks to 4,295 MB, more than 67 MB and 100 times its size
    """
    limit, total = budget(path), 0
    for size in _sizes(path):
        total += size
        if total > limit:
            raise TooLarge(
                f"it unpacks to {total / 1e6:,.0f} MB, more than {ALWAYS / 1e6:.0f} MB and {TIMES} "
                "times its size"
            )


@contextmanager
def bounded_variables(limit: int) -> Iterator[None]:
    """Raises TooLarge in the block once this thread creates variables of more bytes than a limit.

    Example:
        >>> with bounded_variables(10**6):
        ...     tf.Variable(tf.zeros, shape=(10**3, 10**6), dtype=tf.float32)
        Traceback (most recent call last):
        keras_spp.frameworks.tf_keras.unpacked.TooLarge: its variables take 4,000 MB, more than 1 MB
    """
    total = 0

    def create(next_creator: Callable[..., Any], **options: Any) -> Any:
        nonlocal total
        total += _bytes_of_variable(options)
        if total > limit:
            raise TooLarge(
                f"its variables take {total / 1e6:,.0f} MB, more than {limit / 1e6:,.0f} MB"
            )
        return next_creator(**options)

    with tf.variable_creator_scope(create):
        yield


def _bytes_of_variable(options: dict[str, Any]) -> int:
    value = options.get("initial_value")
    shape = tf.TensorShape(options.get("shape") or getattr(value, "shape", None))
    dtype = options.get("dtype") or getattr(value, "dtype", None) or tf.float32
    return (shape.num_elements() or 0) * tf.as_dtype(dtype).size


def _sizes(path: Path) -> Iterator[int]:
    """Yields the sizes of all that would be unpacked: those of archives before their members."""
    if path.is_dir():
        yield from _sizes_of_constants(path)
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            yield sum(member.file_size for member in members)
            for member in members:
                if member.filename == "config.json":
                    yield _OBJECTS * member.file_size
                elif member.filename.endswith(".h5"):
                    yield from _sizes_of_arrays(io.BytesIO(archive.read(member)))
                elif member.filename.endswith(".npz"):
                    with zipfile.ZipFile(io.BytesIO(archive.read(member))) as arrays:
                        yield sum(array.file_size for array in arrays.infolist())
    if path.is_file() and h5py.is_hdf5(path):
        yield from _sizes_of_arrays(path)


def _sizes_of_arrays(source: Any) -> Iterator[int]:
    with h5py.File(source) as file:
        for name in ("model_config", "training_config"):
            yield _OBJECTS * len(file.attrs.get(name, ""))
        items: list[Any] = []
        file.visititems(lambda name, item: items.append(item))  # follows no link to another file
        for item in [file, *items]:
            if isinstance(item, h5py.Dataset):
                if item.external or item.is_virtual:
                    raise TooLarge("it takes arrays from other files")
                yield (item.size or 0) * item.dtype.itemsize
            elif any(isinstance(item.get(key, getlink=True), h5py.ExternalLink) for key in item):
                raise TooLarge("it takes arrays from other files")


def _sizes_of_constants(folder: Path) -> Iterator[int]:
    """Yields the sizes of constants in graphs, which store equal values as one and a shape."""
    metadata = folder / "keras_metadata.pb"
    yield _OBJECTS * metadata.stat().st_size if metadata.exists() else 0
    for graph in private.internal.saved_model.parse_saved_model(str(folder)).meta_graphs:
        library = graph.graph_def.library.function
        for body in (graph.graph_def.node, *(function.node_def for function in library)):
            for tensor in (node.attr["value"].tensor for node in body if node.op == "Const"):
                shape = [dimension.size for dimension in tensor.tensor_shape.dim]
                yield abs(math.prod(shape)) * tf.as_dtype(tensor.dtype).size
