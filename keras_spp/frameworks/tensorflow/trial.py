"""Trials of functions without a rule: what they do to channels when some are left out.

All that `spp.shrink` needs of a function is this: called on the surviving channels, it returns
the surviving part of its result. A trial checks that on random numbers of several magnitudes, and
the function's graph for what numbers may not show: a sum over the channels, randomness, or steps
that depend on values.
"""

from __future__ import annotations

import functools
import itertools
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_spp.core.call import Followed, labelled
from keras_spp.core.channels import Argument, Reason, Tensor
from keras_spp.frameworks.tensorflow.private import op_def_registry
from keras_spp.frameworks.tensorflow.sizes import drawn_sizes, evaluated

_LARGEST = 2**28  # elements
_MAGNITUDES = (1.0, 1e-3, 1e3, 1e6)
_TOLERANCE, _LOW = 1e-5, 1e-2  # of the largest number, in 32 and in 16 bits
# Operations that return the size of a tensor, or stop the program.
_SIZES = frozenset({"Shape", "ShapeN", "Size", "Rank", "Assert", "NoOp"})
_CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall", "ReadVariableOp"})
_BRANCHES = frozenset({
    "Case", "EagerPyFunc", "If", "PlaceholderWithDefault", "PyFunc", "PyFuncStateless",
    "StatelessCase", "StatelessIf", "StatelessWhile", "While",
})  # fmt: skip


class _NotFollowed(Exception):
    """The reason why a function cannot be followed."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(str(reason))
        self.reason = reason


def follow(
    functions: Sequence[Callable[..., Any]],
    args: tuple,
    kwargs: dict[str, Any],
    operands: Sequence[Tensor],
) -> Followed | Reason:
    """Tries a function with all channels of its operands and with some left out.

    Args:
        functions: What is called; all have to make the same graph. Without any nothing is followed.
        args: Its arguments, `Tensor`s in place of tensors.
        kwargs: Its keyword arguments.
        operands: The tensors whose channels may leave; some of these must have channels.

    Returns:
        How the results follow, or the reason why they do not.
    """
    if not functions:
        return Reason.FUNCTION
    tensors = [base for x in labelled((args, kwargs)) for base in x.origins()]
    tensors = list({id(x): x for x in tensors}.values())
    varying = list({id(x): x for x in operands if x.varying}.values())
    reasons = []
    # All operands together first; a function that contracts one may still keep another's apart.
    for chosen in [varying, *([x] for x in varying if len(varying) > 1)]:
        sizes = {x.labels.shape[x.varying[0]] for x in chosen}
        if len(sizes) > 1 or any(len(x.varying) > 1 for x in chosen):
            continue
        for constants in _constants(args, kwargs, chosen[0]):
            try:
                with warnings.catch_warnings():
                    # What Keras says of a softmax over one channel is said of the trial alone.
                    warnings.simplefilter("ignore")
                    trial = _Trial(functions, args, kwargs, tensors, chosen, constants)
                    return Followed(chosen, trial.places(), trial.edits())
            except _NotFollowed as error:
                reasons.append(error.reason)
    return Reason.MIXES if Reason.MIXES in reasons else Reason.FUNCTION


def agree(
    functions: Sequence[Callable[..., Any]], other: Callable[..., Any], operands: Any
) -> bool:
    """Tells whether another function computes the same as these, which all do the same.

    Args:
        functions: What is called with `operands`.
        other: The function that may replace them.
        operands: `Tensor`s in the structure that the functions take.
    """
    tensors = list({id(x): x for x in labelled(operands)}.values())
    try:
        trial = _Trial(functions, (operands,), {}, tensors, [], {})
        return trial.agrees(other)
    except Exception:  # whatever they raise
        return False


def _constants(args: tuple, kwargs: dict[str, Any], x: Tensor) -> Iterator[dict[int | str, int]]:
    """Yields no constants, then those with one value for each of the channels, if there are any."""
    yield {}
    (axis,) = x.varying
    axis -= len(x.shape)  # constants broadcast from the right
    axes: dict[int | str, int] = {}
    arguments: list[tuple[int | str, Any]] = [*enumerate(args), *kwargs.items()]
    for name, value in arguments:
        shape = (
            () if labelled(value) or value is None or isinstance(value, str) else np.shape(value)
        )
        if len(shape) >= -axis and shape[axis] == x.labels.shape[axis]:
            axes[name] = axis
    if axes:
        yield axes


class _Trial:
    """Calls of a function with different channels left out."""

    def __init__(
        self,
        functions: Sequence[Callable[..., Any]],
        args: tuple,
        kwargs: dict[str, Any],
        tensors: Sequence[Tensor],
        chosen: Sequence[Tensor],
        constants: dict[int | str, int],
    ) -> None:
        self.constants = constants
        self.args, self.kwargs = args, kwargs
        self.tensors = tensors
        self.axes = [x.varying[0] if any(x is y for y in chosen) else None for x in tensors]
        self.count, self.dtype = 0, "float32"
        for x in chosen:  # all have as many
            self.count, self.dtype = x.labels.shape[x.varying[0]], x.dtype
        # An odd number, and 1: a function of an even number fails on some numbers of survivors.
        self.fewer = [min((self.count // 2) | 1, self.count - 1), 1]
        self.random = np.random.default_rng(0)
        try:
            self.function, *others = functions
            self.whole = self._traced(self.function, self.count)
            graphs = [self._traced(other, self.count).graph.as_graph_def() for other in others]
        except Exception as error:  # whatever a function raises
            raise _NotFollowed(Reason.FUNCTION) from error
        definition = self.whole.graph.as_graph_def()
        _check_graph(definition)
        for operation in self.whole.graph.get_operations():
            if any((x.shape.num_elements() or 0) > _LARGEST for x in operation.outputs):
                raise _NotFollowed(Reason.FUNCTION)  # an outer product, say: more than can be tried
        if any(other != definition for other in graphs):
            raise _NotFollowed(Reason.FUNCTION)

    def edits(self) -> list[tuple[Argument, Callable[[np.ndarray], np.ndarray]]]:
        """Returns how to cut the constants."""
        return [
            (Argument(name), functools.partial(_cut, self._constant(name), axis))
            for name, axis in self.constants.items()
        ]

    def agrees(self, other: Callable[..., Any]) -> bool:
        """Tells whether another function returns the same."""
        traced = self._traced(other, self.count)
        for magnitude in _MAGNITUDES:
            values = self._values(magnitude)
            for first, second in zip(
                _arrays(self.whole(*values)), _arrays(traced(*values)), strict=True
            ):
                alike = first.shape == second.shape and first.dtype == second.dtype
                if not alike or not _close(first, second).all():
                    return False
        return True

    def places(self) -> list[tuple[int, np.ndarray] | None]:
        """Returns where each result has its channels; raises _NotFollowed if it mixes them."""
        try:
            parts = [(count, self._traced(self.function, count)) for count in self.fewer]
            reduces = any([_reduces(self.whole.graph, part.graph) for _, part in parts])
            candidates: list[list[tuple[int, np.ndarray] | None]] | None = None
            for magnitude, (count, part) in zip(_MAGNITUDES, itertools.cycle(parts), strict=False):
                values = self._values(magnitude)
                keep = np.zeros(self.count, bool)
                keep[self.random.choice(self.count, count, replace=False)] = True
                before, after = self.whole(*values), part(*self._kept(values, keep))
                if reduces:
                    raise _NotFollowed(Reason.MIXES)
                pairs = list(zip(_arrays(before), _arrays(after), strict=True))
                if candidates is None:
                    candidates = [list(self._candidates(*pair)) for pair in pairs]
                candidates = [
                    [place for place in places if _agree(*pair, place, keep)]
                    for places, pair in zip(candidates, pairs, strict=True)
                ]
        except _NotFollowed:
            raise
        except Exception as error:
            raise _NotFollowed(self._failure_reason()) from error
        if not candidates or not all(candidates) or not any(places[0] for places in candidates):
            raise _NotFollowed(self._failure_reason())
        return [places[0] for places in candidates]

    def _candidates(
        self, whole: np.ndarray, part: np.ndarray
    ) -> Iterator[tuple[int, np.ndarray] | None]:
        """Yields places that two sizes of a result allow: each channel once, or several times."""
        if whole.ndim != part.ndim:
            return
        changed = [axis for axis, size in enumerate(whole.shape) if size != part.shape[axis]]
        if not changed:
            yield None
        elif len(changed) == 1:
            times = whole.shape[changed[0]] // self.count
            if whole.shape[changed[0]] == times * self.count:
                yield changed[0], np.tile(np.arange(self.count), times)
                if times > 1:
                    yield changed[0], np.repeat(np.arange(self.count), times)

    def _traced(self, function: Callable[..., Any], count: int) -> Any:
        specs = []
        for x, axis in zip(self.tensors, self.axes, strict=True):
            sizes = drawn_sizes(x)
            if axis is not None:
                sizes[axis] = count
            specs.append(tf.TensorSpec(sizes, x.dtype))
        for name, axis in self.constants.items():
            array = tf.convert_to_tensor(self._constant(name))
            sizes = array.shape.as_list()
            sizes[axis] = count
            specs.append(tf.TensorSpec(sizes, array.dtype))
        call = functools.partial(self._call, function)
        return tf.function(call, autograph=False).get_concrete_function(*specs)

    def _call(self, function: Callable[..., Any], *values: tf.Tensor) -> list[Any]:
        places = {id(x): value for x, value in zip(self.tensors, values, strict=False)}
        args, kwargs = list(self.args), dict(self.kwargs)
        for name, value in zip(self.constants, values[len(self.tensors) :], strict=True):
            if isinstance(name, int):
                args[name] = value
            else:
                kwargs[name] = value
        args, kwargs = tf.nest.map_structure(lambda item: evaluated(item, places), (args, kwargs))
        return tf.nest.flatten(function(*args, **kwargs))

    def _constant(self, name: int | str) -> np.ndarray:
        value = tf.convert_to_tensor(
            self.args[name] if isinstance(name, int) else self.kwargs[name]
        )
        return np.asarray(tf.cast(value, self.dtype) if value.dtype.is_floating else value)

    def _values(self, magnitude: float) -> list[np.ndarray]:
        """Returns random operands, and the constants as they are."""
        values = [self._draw(x, magnitude) for x in self.tensors]
        return [*values, *map(self._constant, self.constants)]

    def _draw(self, x: Tensor, magnitude: float) -> np.ndarray:
        sizes, dtype = drawn_sizes(x), tf.as_dtype(x.dtype)
        if dtype.is_floating:
            numbers = self.random.random(sizes, "float32") * 2 - 1
            return (numbers * min(magnitude, 1e-2 * float(dtype.max))).astype(dtype.as_numpy_dtype)
        if dtype.is_integer and not sizes:  # a computed size
            return np.asarray(2, dtype.as_numpy_dtype)
        return self.random.integers(0, 2, sizes).astype(dtype.as_numpy_dtype)

    def _kept(self, values: list[np.ndarray], keep: np.ndarray) -> list[np.ndarray]:
        axes = [*self.axes, *self.constants.values()]
        return [
            value if axis is None else np.compress(keep, value, axis)
            for value, axis in zip(values, axes, strict=True)
        ]

    def _failure_reason(self) -> Reason:
        """Returns MIXES if a value changes with one channel and with others, otherwise FUNCTION."""
        values = self._values(1.0)
        others = self._values(1.0)
        channel = np.arange(self.count) == self.random.integers(self.count)
        try:
            before = _arrays(self.whole(*values))
            changed = []
            for mask in (channel, ~channel):
                mixed = [
                    old if axis is None else np.where(_along(mask, axis, old.ndim), new, old)
                    for old, new, axis in zip(values, others, self.axes, strict=False)
                ]
                after = _arrays(self.whole(*mixed, *values[len(self.tensors) :]))
                changed.append([~_close(*pair) for pair in zip(before, after, strict=True)])
        except Exception:  # it ran when it was traced, but not on these numbers
            return Reason.FUNCTION
        mixes = any((one & rest).any() for one, rest in zip(*changed, strict=True))
        return Reason.MIXES if mixes else Reason.FUNCTION


def _cut(array: np.ndarray, axis: int, keep: np.ndarray) -> np.ndarray:
    return np.compress(keep, array, axis)


def _along(mask: np.ndarray, axis: int, rank: int) -> np.ndarray:
    return mask.reshape([-1 if i == axis else 1 for i in range(rank)])


def _arrays(tensors: Any) -> list[np.ndarray]:
    return [np.asarray(tensor) for tensor in tf.nest.flatten(tensors)]


def _close(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Returns where two arrays agree, up to the rounding errors of a few operations."""
    if first.dtype.kind in "biu":
        return first == second
    tolerance = _TOLERANCE
    if first.dtype.itemsize < 4:  # float16, bfloat16
        tolerance = _LOW
        first, second = first.astype("float32"), second.astype("float32")
    finite = np.abs(first[np.isfinite(first)])
    scale = float(finite.max()) if finite.size else 0.0
    return np.isclose(first, second, rtol=0, atol=tolerance * scale, equal_nan=True)


def _agree(
    whole: np.ndarray, part: np.ndarray, place: tuple[int, np.ndarray] | None, keep: np.ndarray
) -> bool:
    if place is not None:
        axis, channels = place
        whole = np.compress(keep[channels], whole, axis)
    return whole.shape == part.shape and bool(_close(whole, part).all())


def _check_graph(definition: Any) -> None:
    """Raises _NotFollowed for randomness, and for steps that depend on values."""
    bodies = [definition.node, *(function.node_def for function in definition.library.function)]
    for name in {node.op for body in bodies for node in body}:
        promise = op_def_registry.get(name)
        stateful = promise is None or (promise.is_stateful and name not in _CALLS | _SIZES)
        if stateful or name in _BRANCHES:
            raise _NotFollowed(Reason.FUNCTION)


def _reduces(whole: Any, part: Any) -> bool:
    """Tells whether an operation takes all channels and returns a result without them.

    The two graphs differ only in the number of channels: tensors with channels differ in shape.
    """
    pairs = list(zip(whole.get_operations(), part.get_operations(), strict=False))
    if any(first.type != second.type for first, second in pairs):
        raise _NotFollowed(Reason.FUNCTION)  # its steps depend on the number of channels

    def channelled(first: Sequence[Any], second: Sequence[Any]) -> bool:
        return any(
            a.shape.rank is None or a.shape.as_list() != b.shape.as_list() or None in a.shape
            for a, b in zip(first, second, strict=True)
        )

    return any(
        first.outputs
        and first.type not in _SIZES
        and channelled(first.inputs, second.inputs)
        and not channelled(first.outputs, second.outputs)
        for first, second in pairs
    )
