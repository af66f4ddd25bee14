"""A copy of a model to be tried: without some of its groups, and with hooks at its layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras
import numpy as np

from keras_spp.core import arrays
from keras_spp.core.groups import Groups, Reader
from keras_spp.frameworks.interface import Hook
from keras_spp.frameworks.keras3 import graph, private
from keras_spp.frameworks.keras3.clone import clone
from keras_spp.frameworks.keras3.derivatives import derivatives
from keras_spp.frameworks.keras3.inference import compiled, reset
from keras_spp.frameworks.keras3.lockstep import conformed
from keras_spp.frameworks.keras3.rebuilding import copy_weights, rebuild
from keras_spp.frameworks.keras3.variables import read, write
from keras_spp.frameworks.program import Place, Program, Step


class Probe:
    """A copy of a model, with weights of its own.

    Args:
        model: A functional or Sequential model; it is not modified.
        groups: The model's groups, to take some away.
        hooks: Gives the hook of each layer of the model, or None.

    Attributes:
        model: The copy.
    """

    def __init__(
        self,
        model: keras.Model,
        groups: Groups | None = None,
        hooks: Callable[[Any], Hook | None] = lambda layer: None,
    ) -> None:
        self.model = rebuild(model, clone)
        copy_weights(model, self.model)
        pairs = list(zip(graph.layers(model), graph.layers(self.model), strict=True))
        self._copies = {id(layer): copy for layer, copy in pairs}
        self._hooks = {id(copy): hook for layer, copy in pairs if (hook := hooks(layer))}
        self._readers = [] if groups is None else groups.readers
        self._changed: list[tuple[Any, np.ndarray]] = []
        self._infer = compiled(self.model)

    def zero(self, kept: Mapping[str, np.ndarray]) -> None:
        """Zeroes groups until `restore`.

        Args:
            kept: Which groups stay, booleans of shape (size,) by the name of their set; sets that
                are not named stay whole.
        """
        for reader in self._readers:
            if all(entry.name not in kept for entry in reader.sets):
                continue
            groups = np.concatenate(
                [kept.get(entry.name, np.ones(entry.size)) for entry in reader.sets]
            ).astype(np.float32)
            for mask in reader.weights:
                weight = self._copy_of(reader, mask.variable)
                value = read(weight)
                self._changed.append((weight, value))
                write(weight, value * mask.layout.spread(arrays, groups).astype(value.dtype))

    def _copy_of(self, reader: Reader, variable: Any) -> Any:
        """Returns the copy of a layer's weight."""
        place = [other is variable for other in reader.layer.weights].index(True)
        return self._copies[id(reader.layer)].weights[place]

    def restore(self) -> None:
        """Gives back the groups that `zero` took."""
        for weight, value in reversed(self._changed):
            write(weight, value)
        self._changed = []

    def call(self, inputs: Any) -> Any:
        """Computes the outputs of a batch of inputs, and calls the hooks."""
        values = self._run(self.model, conformed(self.model, inputs))
        return keras.tree.pack_sequence_as(private.structures(self.model)[1], values)

    def outputs(self, batches: Iterable[Any], eager: bool = False) -> list[Any]:
        """Computes the outputs of batches of inputs, which stateful layers take for a sequence.

        Args:
            batches: The inputs.
            eager: Whether to call the layers one by one, so that hooks are called.
        """
        reset(self.model)
        return [self.call(batch) if eager else self._infer(batch) for batch in batches]

    def derivatives(self, scalar: Callable[..., Any]) -> Callable[..., list[np.ndarray]]:
        """Returns a function that says what a scalar changes by when groups are scaled.

        Args:
            scalar: A function of the outputs, and of more tensors, that returns one number.

        Returns:
            A function of one batch of inputs and of those tensors: for each reader of the groups
            the derivative by a factor of each group's weights, shape (groups,).
        """
        masks = [(reader, mask) for reader in self._readers for mask in reader.weights]
        weights = [self._copy_of(reader, mask.variable) for reader, mask in masks]
        gradients = derivatives(
            lambda inputs, *others: scalar(self.model(inputs, training=False), *others), weights
        )

        def of(inputs: Any, *others: Any) -> list[np.ndarray]:
            reset(self.model)
            inputs = keras.tree.pack_sequence_as(
                private.structures(self.model)[0], conformed(self.model, inputs)
            )
            derived = {id(reader): 0.0 for reader in self._readers}
            computed = gradients(inputs, *others)
            for (reader, mask), weight, gradient in zip(masks, weights, computed, strict=True):
                product = read(weight).astype(np.float32) * gradient.astype(np.float32)
                derived[id(reader)] = derived[id(reader)] + mask.layout.summed(arrays, product)
            return [np.asarray(derived[id(reader)]) for reader in self._readers]

        return of

    def output_sizes(self, inputs: Any) -> list[tuple[int, ...]]:
        """Returns the sizes of the outputs of a batch of inputs without the batch, flat."""
        specs = [keras.KerasTensor(x.shape, x.dtype) for x in conformed(self.model, inputs)]
        packed = keras.tree.pack_sequence_as(private.structures(self.model)[0], specs)
        outputs = keras.tree.flatten(self.model.compute_output_spec(packed))
        return [tuple(output.shape[1:]) for output in outputs]

    def _run(self, model: keras.Model, inputs: list[Any]) -> list[Any]:
        program = Program(graph, model)
        tensors = dict(zip(program.inputs, inputs, strict=True))
        for step in program.steps:
            results = (
                self._repeated(step, tensors) if step.repeated else self._hooked(step, tensors)
            )
            tensors.update(zip(step.outputs, results, strict=True))
        return [tensors[number] for number in program.outputs]

    def _hooked(self, step: Step, tensors: Mapping[int, Any]) -> list[Any]:
        outputs = step.run(tensors)
        hook = self._hooks.get(id(step.layer))
        if hook is None:
            return outputs
        inputs = [tensors[number] for number in step.inputs]
        replaced = hook(_single(inputs), _single(outputs))
        return outputs if replaced is None else keras.tree.flatten(replaced)

    def _repeated(self, step: Step, tensors: Mapping[int, Any]) -> list[Any]:
        """Calls the layer in a TimeDistributed, whose hook sees all time steps at once."""
        hook = self._hooks.get(id(step.core))
        taken = [place for place in step.args if isinstance(place, Place)]
        masked = len(step.inputs) > 1 and private.expects_mask(step.core)
        if hook is None or masked or len(taken) != 1:
            return step.run(tensors)
        x = tensors[taken[0].number]
        batch, time, *sizes = x.shape
        inputs = keras.ops.reshape(x, (batch * time, *sizes))
        (outputs,) = graph.infer(step.core, (inputs,), {})
        replaced = hook(inputs, outputs)
        outputs = outputs if replaced is None else replaced
        return [keras.ops.reshape(outputs, (batch, time, *outputs.shape[1:]))]


def norms(reader: Reader) -> np.ndarray:
    """Returns the L1 norm of each group's weights in a layer, shape (groups,)."""
    magnitudes = [
        mask.layout.summed(arrays, np.abs(read(mask.variable).astype(np.float32)))
        for mask in reader.weights
    ]
    return np.sum(magnitudes, axis=0)


def _single(items: list[Any]) -> Any:
    return items[0] if len(items) == 1 else items
