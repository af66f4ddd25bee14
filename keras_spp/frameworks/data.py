"""Data of users as batches of model inputs."""

from __future__ import annotations

import contextlib
import inspect
import itertools
import operator
import reprlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from keras_spp.core.channels import Sizes
from keras_spp.frameworks.foreign import is_misfit, is_module, is_tensor
from keras_spp.frameworks.inputs import fit
from keras_spp.util.messages import layer_cause
from keras_spp.util.nest import flatten, map_structure

BATCH = 32


def batches(
    data: Any,
    most: int | None = None,
    argument: str = "representative_data",
    targets: bool | None = False,
) -> Iterator:
    """Yields batches of inputs.

    Args:
        data: A `tf.data.Dataset` or another iterable of batches, each of them inputs or, as for
            `fit`, (inputs, targets) or (inputs, targets, weights); or one array of samples.
        most: Stop after this many batches.
        argument: The name of the argument, for messages.
        targets: Whether to yield (inputs, targets) or (inputs, targets, weights), which must come;
            None to yield batches unchanged.

    Yields:
        Inputs, as the model takes them.

    Raises:
        TypeError: If there is no data, or it has another form.
        ValueError: If it is empty.

    Example:
        >>> [batch.shape for batch in batches(np.zeros((40, 3)))]
        [(32, 3), (8, 3)]
    """
    if isinstance(data, type):
        name = data.__name__
        raise TypeError(f"`{argument}` must be data but is the class {data!r}: give {name}(...).")
    source, is_function = data, _is_function(data)
    if is_function:
        source = _call(data, argument)
    if isinstance(source, np.ndarray) or is_tensor(source):
        source = [source[start : start + BATCH] for start in range(0, len(source), BATCH)]
    if not isinstance(source, Iterable) or isinstance(source, str | bytes | dict):
        raise TypeError(
            f"`{argument}` must {'return' if is_function else 'be'} a tf.data.Dataset of "
            "batches, another iterable of batches or an array of samples but "
            f"{'returns' if is_function else 'is'} {' '.join(reprlib.repr(source).split())}."
        )
    empty = True
    for batch in itertools.islice(_gather(source) if is_function else source, most):
        empty = False
        inputs = batch[0] if isinstance(batch, tuple) and batch else batch
        if any(isinstance(value, int | float | str) for value in flatten(inputs)):
            raise TypeError(
                f"`{argument}` must yield arrays but yields numbers in lists: give np.asarray(...)."
            )
        if targets and not (isinstance(batch, tuple) and len(batch) > 1):
            raise ValueError(f"`{argument}` must yield (inputs, targets) but yields no targets.")
        yield batch[0] if isinstance(batch, tuple) and targets is False else batch
    if empty:
        raise ValueError(f"`{argument}` must hold at least one batch but is empty.")


def _is_function(data: Any) -> bool:
    """Tells whether data is a function that returns it, which a model is not."""
    if type(data).__name__ == "RepresentativeDataset":  # TFLite's own
        return True
    return callable(data) and not isinstance(data, Iterable) and not is_module(data)


def _call(function: Any, argument: str) -> Any:
    function = getattr(function, "input_gen", function)  # of TFLite's own class
    try:
        inspect.signature(function).bind()
    except TypeError as error:
        raise TypeError(
            f"`{argument}` must be a function without arguments but {function!r} needs some "
            f"({error}): give functools.partial(...) of it, or what it returns."
        ) from None
    except ValueError:  # some functions in C have no signature
        pass
    return function()


def _gather(data: Iterable) -> Iterator[Any]:
    """Gathers single samples of one shape into batches, of the size that arrays are cut into."""

    def shapes(batch: Any) -> Any:
        return map_structure(lambda x: np.shape(x)[1:], batch)

    def is_single(batch: Any) -> bool:
        return all(np.shape(x)[:1] == (1,) for x in flatten(batch))

    singles: list[Any] = []
    for batch in data:
        fits = is_single(batch) and (not singles or shapes(batch) == shapes(singles[0]))
        if singles and (not fits or len(singles) == BATCH):
            yield concatenated(singles)
            singles = []
        if is_single(batch):
            singles.append(batch)
        else:
            yield batch
    if singles:
        yield concatenated(singles)


def concatenated(batches: Sequence[Any]) -> Any:
    """Returns batches of one structure as one batch."""
    return map_structure(lambda *parts: np.concatenate(parts), *batches)


def require_finite(batch: Any, argument: str = "representative_data") -> None:
    """Raises ValueError if inputs hold NaN or infinity."""
    for x in map(np.asarray, flatten(batch)):
        if x.dtype.kind == "f" and not np.isfinite(x).all():
            raise ValueError(f"`{argument}` holds NaN or infinity: give finite samples.")


def require_fit(
    declared: Sequence[Sizes], inputs: Sequence[Any], argument: str = "representative_data"
) -> None:
    """Raises ValueError if inputs are of other shapes than a model declares.

    Args:
        declared: The sizes of the model's inputs without the batch.
        inputs: A batch for each of them, in any order.
        argument: The name of the argument, for the message.
    """
    given = [tuple(np.shape(x)[1:]) for x in inputs]

    def fits(sizes: Sizes, shape: Sizes) -> bool:  # Keras adds and takes away a last axis of size 1
        return any(
            fit(one, other) for one in (sizes, (*sizes, 1)) for other in (shape, (*shape, 1))
        )

    if len(given) != len(declared) or not all(
        any(fits(sizes, shape) for shape in given) for sizes in declared
    ):
        listed, received = (", ".join(map(str, shapes)) for shapes in (declared, given))
        raise ValueError(
            f"`{argument}` must hold what the model takes, {listed} without the batch, but holds "
            f"{received}."
        )


def count(batches: Iterable[Any]) -> int:
    """Returns how many samples there are in batches of inputs."""
    return sum(len(flatten(batch)[0]) for batch in batches)


def chunks(data: Any, size: int, count: int, whole: bool, again: bool = True) -> Iterator[Any]:
    """Yields `size` samples at a time, from the beginning again when the data ends.

    Args:
        data: As for `batches`.
        size: Samples in each chunk, at most; chunks never reach over two batches.
        count: Number of chunks.
        whole: Whether to leave out chunks that are smaller.
        again: Whether to begin again; otherwise there may be fewer chunks.

    Raises:
        ValueError: If there is not one chunk.
    """
    if again and isinstance(data, Iterator):  # it cannot begin again
        data = list(itertools.islice(data, count))
    while count:
        before = count
        for batch in batches(data):
            samples = len(flatten(batch)[0])
            for start in range(0, samples - size + 1 if whole else samples, size)[:count]:
                yield map_structure(operator.itemgetter(slice(start, start + size)), batch)
                count -= 1
            if not count:
                return
        if count == before:
            raise ValueError(
                f"`representative_data` must hold batches of at least {size if whole else 1} "
                f"samples, as the model takes them, but holds none."
            )
        if not again:
            return


@contextlib.contextmanager
def fitting(size: int, allocation: str) -> Iterator[None]:
    """Explains errors of a model that is called on `size` samples for an allocation.

    Raises:
        ValueError: If the model does not take them.
    """
    try:
        yield
    except Exception as error:
        if not is_misfit(error):
            raise
        raise ValueError(
            f"`representative_data` must hold what the model takes, {size} samples at a time, but "
            f"it fails on that ({layer_cause(error)}): give other data, or "
            f"allocation=spp.{allocation}(samples=...)."
        ) from error
