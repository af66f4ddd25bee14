"""Two models of one structure, run side by side on the same samples, a stretch at a time."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from keras_spp.frameworks.data import count
from keras_spp.frameworks.foreign import is_of_layer
from keras_spp.frameworks.graphs import Graph
from keras_spp.frameworks.inputs import fit
from keras_spp.frameworks.program import Program, Step
from keras_spp.util.messages import layer_cause

# What is held of all samples between two stretches takes at most so many bytes, unless the samples
# themselves take more. What would take more is computed again from where there was less to hold.
MEMORY = 2 * 2**30

Tensors = Mapping[int, Any]
Watch = Callable[[Tensors, Tensors], None]


class Held(Protocol):
    """A tensor that is held, with the mask of its time steps if it has one.

    Floats may be held at half their size: scaled to their own range, as float16. Statistics over
    many samples do not feel the rounding, and both models are rounded alike.
    """

    @property
    def bytes(self) -> int:
        """How much memory that takes."""

    def tensor(self) -> Any:
        """Returns it in its own type again."""


class Lockstep:
    """Two models of one structure and the samples that pass through both.

    An adapter's own class says how its tensors are held and its variables are read.

    Args:
        model: The model whose weights may change between two stretches, behind the calls that
            have been passed.
        original: The model to compare it with.
        batches: The samples, as the models take them.
        alone: Whether the model runs by itself, as all about the original is known.

    Attributes:
        steps: The calls of the model in order.
        original_steps: Those of the original, one for each.
        outputs: The numbers of the model's outputs.
        samples: How many samples there are.

    Raises:
        ValueError: If the models differ in structure.
    """

    graph: Graph

    def __init__(
        self, model: Any, original: Any, batches: Sequence[Any], *, alone: bool = False
    ) -> None:
        programs = Program(self.graph, model), Program(self.graph, original)
        self.steps, self.original_steps = (program.steps for program in programs)
        _check_alike(*programs)
        self._programs = programs[:1] if alone else programs
        self._consumers = self._find_consumers()
        self._last_use = {
            number: at for at, step in enumerate(self.steps) for number in step.inputs
        }
        self.outputs = programs[0].outputs
        self.samples = count(batches)
        self._at = 0  # what is held is what the calls from this one on need
        self._held = [self._first(batch) for batch in batches]

    # -- what an adapter says ------------------------------------------------------------------

    def conformed(self, model: Any, batch: Any) -> list[Any]:
        """Returns what a model is called with as tensors of its inputs' types, in their order."""
        raise NotImplementedError

    def held(self, tensor: Any) -> Held:
        """Holds a tensor at half its size, if it can be."""
        raise NotImplementedError

    def held_as_it_is(self, tensor: Any) -> Held:
        """Holds a tensor."""
        raise NotImplementedError

    def reset(self, model: Any) -> None:
        """Lets a model take what comes next for the beginning of a sequence."""
        raise NotImplementedError

    def read(self, variable: Any) -> Any:
        """Returns a variable's value."""
        raise NotImplementedError

    def write(self, variable: Any, value: Any) -> None:
        """Gives a variable such a value back."""
        raise NotImplementedError

    # -- what stages ask -----------------------------------------------------------------------

    def consumers(self, number: int) -> list[int]:
        """Returns which calls take a tensor; one past the last for the model's outputs."""
        return self._consumers[number]

    def calls_of(self, layer: Any) -> list[int]:
        """Returns which calls are a layer's."""
        return [at for at, step in enumerate(self.steps) if step.layer is layer]

    def run(self, stop: int, watches: Mapping[int, Watch]) -> None:
        """Runs both models up to a call, from where samples were held last.

        Args:
            stop: Which call is not made any more.
            watches: By the number of a call, what is called before it is made, with the tensors of
                the model and of the original by their numbers; of an original that does not run
                there are none.
        """
        self._run(stop, watches, hold=False)

    def advance(self, stop: int, watches: Mapping[int, Watch]) -> None:
        """Does the same, and holds the tensors there if they are not too large.

        Calls before this one must not change any more.
        """
        self._run(stop, watches, hold=True)

    def _run(self, stop: int, watches: Mapping[int, Watch], hold: bool) -> None:
        live = [number for number, last in self._last_use.items() if last >= stop]
        moving = self._moving()
        for program in self._programs:
            self.reset(program.model)
        for number, pair in enumerate(self._held):
            tensors = [{key: value.tensor() for key, value in side.items()} for side in pair]
            for at in range(self._at, stop):
                if at in watches:
                    watches[at](*tensors)
                self._call(at, tensors)
            if stop in watches:
                watches[stop](*tensors)
            if hold:
                taken = self._take(tensors, live)
                hold = number > 0 or _bytes(taken) * len(self._held) <= MEMORY
            if hold:  # one after the other, so that never both take up memory
                self._held[number] = taken
        for variable, value in moving:
            self.write(variable, value)
        if hold:
            self._at = stop

    def _moving(self) -> list[tuple[Any, Any]]:
        """Returns what calls that are fixed to training change, with the present values."""
        steps = [step for program in self._programs for step in program.steps]
        layers = {id(step.layer): step.layer for step in steps if step.kwargs.get("training")}
        variables = (layer.non_trainable_variables for layer in layers.values())
        return [(v, self.read(v)) for v in itertools.chain.from_iterable(variables)]

    def _call(self, at: int, tensors: list[dict[int, Any]]) -> None:
        for program, values in zip(self._programs, tensors, strict=False):  # perhaps one runs alone
            step = program.steps[at]
            try:
                values.update(zip(step.outputs, step.run(values), strict=True))
            except Exception as error:
                if not is_of_layer(error):
                    raise
                raise ValueError(
                    f"`representative_data` must hold what the model takes, but layer "
                    f"{step.core.name!r} fails on it ({layer_cause(error).rstrip('.')}): give "
                    f"other data."
                ) from error
            for number in step.inputs:
                if self._last_use[number] == at:
                    values.pop(number, None)

    def _take(self, tensors: list[dict[int, Any]], live: list[int]) -> tuple[dict[int, Held], ...]:
        """Holds what is needed later; what both models have in common, once."""
        model, original = tensors
        first = {key: self.held(model[key]) for key in live if key in model}
        second = {
            key: first[key] if original[key] is model.get(key) else self.held(original[key])
            for key in live
            if key in original
        }
        return first, second

    def _first(self, batch: Any) -> tuple[dict[int, Held], ...]:
        """Takes a batch, which stays as it is: it may be what both models begin with again."""
        program = self._programs[0]
        try:
            values = self.conformed(program.model, batch)
        except Exception as error:
            if not is_of_layer(error):
                raise
            raise ValueError(
                f"`representative_data` must hold what the model takes, "
                f"{len(program.inputs)} input(s), but does not ({layer_cause(error)}): give other "
                f"data."
            ) from error
        for tensor, value in zip(program.model.inputs, values, strict=True):
            if not fit(tuple(tensor.shape), tuple(value.shape)):
                raise ValueError(
                    f"`representative_data` must hold what the model takes, {tuple(tensor.shape)}, "
                    f"but holds {tuple(value.shape)}: give other data."
                )
        held = {
            number: self.held_as_it_is(value)
            for number, value in zip(program.inputs, values, strict=True)
        }
        return held, held if len(self._programs) > 1 else {}

    def _find_consumers(self) -> dict[int, list[int]]:
        """Returns the calls that take each tensor; one past the last for the model's outputs."""
        program = self._programs[0]
        numbers = [*program.inputs, *(number for step in self.steps for number in step.outputs)]
        consumers: dict[int, list[int]] = {number: [] for number in numbers}
        for at, step in enumerate(self.steps):
            for number in dict.fromkeys(step.inputs):
                consumers[number].append(at)
        for number in dict.fromkeys(program.outputs):
            consumers[number].append(len(self.steps))
        return consumers


def _bytes(pair: tuple[dict[int, Held], ...]) -> int:
    values = {id(value): value for side in pair for value in side.values()}
    return sum(value.bytes for value in values.values())


def _check_alike(first: Program, second: Program) -> None:
    def shape(step: Step) -> tuple:
        return step.core.name if step.weights else "", step.inputs, step.outputs

    if [shape(step) for step in first.steps] != [shape(step) for step in second.steps]:
        raise ValueError(
            f"`original` must be the model that `model` {first.model.name!r} was pruned from, but "
            f"its layers are called in another way: give what spp.prune was given."
        )
