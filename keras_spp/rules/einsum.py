"""The rule of EinsumDense: its equation says which axes of the kernel read and make channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keras_spp.core.call import Call
from keras_spp.core.channels import Labels, Reason, Tensor
from keras_spp.core.common_rules import counted
from keras_spp.core.rule import keras_rule
from keras_spp.rules.activations import activated


@dataclass(frozen=True)
class _Equation:
    """An equation as the names of its axes; those behind an ellipsis have names of their own."""

    read: list[str]
    kernel: list[str]
    made: list[str]
    open: int  # axes that an ellipsis stands for
    left: bool  # whether it stands on the left

    def entry(self, name: str) -> int:
        """Returns the index of an axis in `output_shape`, which has no batch and no ellipsis."""
        number = self.made.index(name)
        return number - self.open if self.left and self.open else number - 1


def _parse(equation: str, rank: int) -> _Equation | None:
    """Parses an equation; returns None if it moves the batch, or names an axis twice."""
    operands, made = equation.replace(" ", "").split("->")
    read, kernel = operands.split(",")
    open_axes = rank - len(read.replace("...", "")) if "..." in read else 0

    def names(term: str) -> list[str]:
        head, ellipsis, tail = term.partition("...")
        hidden = [f"...{number}" for number in range(open_axes)] if ellipsis else []
        return [*head, *hidden, *tail]

    axes = _Equation(names(read), names(kernel), names(made), open_axes, read.startswith("..."))
    batch = axes.read[0]
    moved = axes.made[0] != batch or batch in axes.kernel
    repeated = any(len(set(term)) < len(term) for term in (axes.read, axes.kernel, axes.made))
    return None if moved or repeated else axes


@keras_rule("EinsumDense")
def einsum_dense(call: Call, x: Tensor, **_: Any) -> Labels | list[Labels]:
    """Records the axes that the kernel reads, follows and writes; one axis has the new channels."""
    layer = call.layer
    axes = _parse(layer.equation, len(x.shape))
    if axes is None:
        return call.opaque([x], Reason.UNKNOWN)
    number = x.varying[0] if x.varying else len(x.shape) - 1
    name = axes.read[number]
    labels = call.vector(x, number)
    sizes = dict(zip(axes.made, call.shapes[0], strict=True)) | dict(
        zip(axes.read, x.shape, strict=True)
    )
    positions = {axis for axis in sizes if axis not in axes.kernel} - {axes.read[0]}
    call.costs(layer.kernel, [sizes[axis] for axis in sorted(positions)])
    if name in axes.made:
        if name in axes.kernel:
            call.follows(layer.kernel, axes.kernel.index(name), labels)
        return _made(call, axes, name, labels)
    if name in axes.kernel:
        call.reads(layer.kernel, axes.kernel.index(name), labels)
    else:  # summed up before any weight is met
        call.freeze(labels, Reason.MIXES)
    new = [made for made in axes.made if made not in axes.read]
    if not new:
        return call.opaque([], Reason.MIXES)
    # Most layers read the last axis.
    name = next((made for made in reversed(new) if sizes[made] != 1), new[-1])
    return _made(call, axes, name, call.writes(layer.kernel, axes.kernel.index(name)))


def _made(call: Call, axes: _Equation, name: str, labels: Labels) -> Labels | list[Labels]:
    """Returns the output's labels along a named axis, and records bias and size along it."""
    layer, number = call.layer, axes.made.index(name)
    if layer.bias is not None and name in layer.bias_axes:
        call.follows(layer.bias, number - len(axes.made), labels)
    if not name.startswith("..."):
        entry, shape = axes.entry(name), list(layer.partial_output_shape)
        if shape[entry] is not None:
            call.resize("output_shape", [labels], counted(shape, entry))
    return activated(call, call.place(labels, number))
