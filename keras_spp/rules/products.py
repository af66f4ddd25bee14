"""Rules of sums of products, such as products of matrices, in which letters name the axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_spp.core.call import Call
from keras_spp.core.channels import Argument, Labels, Reason, Tensor
from keras_spp.core.common_rules import shape_of
from keras_spp.core.rule import keras_rule

_NAMES = "abcdefghijklmnopqrstuvwxyz"


def are_apart(operands: Sequence[Any], terms: Sequence[str], made: str) -> bool:
    """Tells whether samples stay apart, and each name is of one axis and one size."""
    batches = [term[0] for x, term in zip(operands, terms, strict=True) if isinstance(x, Tensor)]
    once = all(len(set(term)) == len(term) for term in (*terms, made))
    sizes: dict[str, set[int | None]] = {}
    for x, term in zip(operands, terms, strict=True):
        for name, size in zip(term, shape_of(x), strict=True):
            sizes.setdefault(name, set()).add(size)
    fit = all(len(of_name - {1, None}) < 2 for of_name in sizes.values())
    return once and fit and all(batch == made[:1] for batch in batches)


def contracted(
    call: Call, operands: Sequence[Any], terms: Sequence[str], made: str
) -> Labels | list[Labels]:
    """Keeps the channels along an axis of the result; freezes those that are summed over.

    Args:
        call: The call, whose first arguments are the operands if there are constants among them.
        operands: What is multiplied, tensors and constants.
        terms: The axes of each of them.
        made: The axes of the result.
    """
    tensors = [(x, term) for x, term in zip(operands, terms, strict=True) if isinstance(x, Tensor)]
    # One axis keeps its channels; those of another meet all of these.
    channelled = {term[axis] for x, term in tensors for axis in x.varying}
    kept = next((name for name in reversed(made) if name in channelled), "")
    vectors, held = [], False
    for x, term in tensors:
        at = term.find(kept) if kept else -1
        if at >= 0 and x.varying == [at]:
            vectors.append(call.vector(x, at))
        else:
            call.freeze(x.labels, Reason.MIXES)
            held |= at >= 0 and x.shape[at] != 1  # no channels lie along this axis of it
    if not vectors:
        call.channels.leave_to_measure(call.layer)
        return call.opaque([], Reason.MIXES)
    first, *others = vectors
    call.channels.leave_to_measure(call.layer, first)
    for other in others:
        call.channels.tie(first, other)
    if held:
        call.freeze(first, Reason.SHAPE)
    for place, (x, term) in enumerate(zip(operands, terms, strict=True)):
        at = term.find(kept)
        if not isinstance(x, Tensor) and at >= 0 and np.shape(x)[at] != 1:
            call.resize(
                Argument(place),
                [first],
                lambda keep, x=x, at=at: np.compress(keep, np.asarray(x), axis=at),
            )
    return call.place(first, made.index(kept))


@keras_rule("Dot")
def dot(call: Call, tensors: Sequence[Tensor], **_: Any) -> Labels | list[Labels]:
    """Freezes the channels of an axis that is summed over; keeps those of one other."""
    axes, (first, second) = call.layer.axes, tensors
    pair = (axes, axes) if isinstance(axes, int) else axes
    terms = [
        list(_NAMES[: len(first.shape)]),
        list(_NAMES[len(first.shape) :][: len(second.shape)]),
    ]
    left, right = (axis % len(term) for axis, term in zip(pair, terms, strict=True))
    terms[1][0], terms[1][right] = terms[0][0], terms[0][left]
    rest = [name for name in (*terms[0], *terms[1][1:]) if name != terms[0][left]]
    return contracted(call, tensors, list(map("".join, terms)), "".join(rest))
