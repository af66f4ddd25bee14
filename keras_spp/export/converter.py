"""TensorFlow's side of an export: a model's inference as a function, converted to TFLite files."""

from __future__ import annotations

import contextlib
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_spp import frameworks
from keras_spp.export import gathered
from keras_spp.export import quantization as quantized
from keras_spp.export.columns import Timed, convolution_of, find_pruned
from keras_spp.export.integers import in_integers
from keras_spp.export.options import IO_TYPES
from keras_spp.export.quantizer import Task, convert, is_flat
from keras_spp.export.specs import Spec
from keras_spp.frameworks.interface import Layer, Model
from keras_spp.util.messages import first_line

Shapes = list[tuple[int, ...]]
Samples = Sequence[Mapping[str, np.ndarray]]


class Converter:
    """Makes files of a model whose Keras is on TensorFlow.

    What is given to its methods, and what they return, can be sent to another process.

    Args:
        model: The model.
        specs: Its inputs.
        output_names: The names of its outputs.
    """

    def __init__(self, model: Model, specs: Sequence[Spec], output_names: Sequence[str]) -> None:
        self.model, self.specs, self.output_names = model, specs, output_names
        self._framework = frameworks.of(model)
        self._function: Any = None

    def trace(self, pack: bool) -> list[Shapes]:
        """Traces the model's inference.

        Args:
            pack: Whether to look at convolutions with pruned columns.

        Returns:
            The shapes with which each layer that `find_pruned` returns is called.

        Raises:
            ValueError: If the model cannot be traced with these inputs, or computes in float16.
        """
        shapes: dict[Layer, Shapes] = defaultdict(list)

        def recorded(layer: Layer) -> gathered.Operation:
            def convolve(inputs: tf.Tensor, kernel: Any) -> tf.Tensor:
                shapes[layer].append(tuple(inputs.shape))
                return type(layer).convolution_op(layer, inputs, kernel)

            return convolve

        pruned = find_pruned(self.model) if pack else []
        with self._framework.convolved_by({layer: recorded(layer) for layer in pruned}):
            self._function = _traced(self.model, self.specs, self.output_names)
        return [shapes[layer] for layer in pruned]

    def needs_samples(self, quantization: str, types: dict[str, str], given: bool) -> bool:
        """Tells whether ranges must be taken from data.

        Args:
            quantization: One of `QUANTIZATIONS`.
            types: "input_type" and "output_type".
            given: Whether there is data.

        Raises:
            ValueError: If there must be and is none, or the model does not fit the quantization.
        """
        graph = self._function.graph
        quantized.check_model(graph, self.specs, quantization, types)
        return quantized.needs_samples(graph, quantization, given)

    def convert(
        self,
        quantization: str,
        samples: Samples,
        types: dict[str, str],
        layouts: Mapping[int, str],
    ) -> bytearray:
        """Returns the content of a file.

        Args:
            quantization: As for `export_tflite`.
            samples: Batches by the names of inputs; none without a need for them.
            types: "input_type" and "output_type".
            layouts: Those of convolutions without pruned columns, by their places among
                `find_pruned`.

        Raises:
            ValueError: If TFLite cannot do that.
        """
        if layouts:
            pruned = find_pruned(self.model)
            operations = {
                pruned[place]: gathered.operation(convolution_of(pruned[place]), layout)
                for place, layout in layouts.items()
            }
            with self._framework.convolved_by(operations):
                self._function = _traced(self.model, self.specs, self.output_names)
        if quantization in IO_TYPES:
            (buffer,) = in_integers([Task(self._function, samples, quantization, **types)])
            quantized.check_file(buffer, quantization, calibrated=bool(samples))
            return buffer
        with _explained():
            return convert(self._function, quantization)

    def convert_to_time(self) -> bytearray:
        """Returns the content of a float32 file that takes as long, in less time.

        It has no names, unless the model has loops.
        """
        self.trace(pack=False)
        with _explained():
            return convert(self._function, "none", named=not is_flat(self._function))

    def files_of(self, convolutions: Sequence[Timed], quantization: str) -> list[bytearray]:
        """Returns files of convolutions alone, to be timed.

        Bias and activation take the same time in all layouts.
        """
        functions = []
        for convolution, shape, layout in convolutions:
            operation = gathered.operation(convolution, layout)
            spec = tf.TensorSpec(shape, tf.float32, name="inputs")
            function = tf.function(lambda inputs, operation=operation: operation(inputs, None))
            functions.append(function.get_concrete_function(spec))
        return files_of(functions, quantization)


def files_of(functions: Sequence[Any], quantization: str) -> list[bytearray]:
    """Returns TFLite files to time, of functions of one input."""
    if quantization not in IO_TYPES:
        return [convert(function, quantization) for function in functions]
    integers = IO_TYPES[quantization][1]
    generator, tasks = np.random.default_rng(0), []
    for function in functions:  # on any samples: latency does not depend on them
        shape = function.inputs[0].shape
        samples = [{"inputs": generator.normal(size=shape).astype(np.float32)}]
        tasks.append(Task(function, samples, quantization, integers, integers))
    return in_integers(tasks)


_NOT_TAKEN = frozenset({"int8", "float8"})  # of Keras' own modes


def _traced(model: Model, specs: Sequence[Spec], output_names: Sequence[str]) -> Any:
    """Returns the model's inference as a concrete function of these inputs."""
    framework = frameworks.of(model)
    for layer in framework.layers(model):
        if (mode := getattr(layer, "quantization_mode", None)) in _NOT_TAKEN:
            raise ValueError(
                f"`model` has a layer {layer.name!r} that Keras has quantized to {mode}, which "
                "TFLite's converter does not take: export the model as it was before, with "
                "quantization='int8'."
            )

    @tf.function
    def forward(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return dict(zip(output_names, framework.forward(model, inputs), strict=True))

    batch = specs[0].shape[0]
    fixed = {tensor.shape[0] for tensor in model.inputs} - {None, batch}
    problem = None
    if fixed:
        problem = ValueError(
            f"`batch_size` must be {min(fixed)}, which the model's inputs fix and its layers rely "
            f"on, but is {batch}: give that, or build the model without a batch size."
        )
    signature = [tf.TensorSpec(spec.shape, spec.dtype, spec.name) for spec in specs]
    try:
        function = forward.get_concrete_function(*signature)
    except Exception as error:  # whatever layers raise on sizes they were not made for
        if problem is None and any(None in tensor.shape[1:] for tensor in model.inputs):
            framework.check_taken(model, [tuple(spec.shape[1:]) for spec in specs])
        raise problem or error from error
    for name, tensor in zip(output_names, model.outputs, strict=True):
        shape = function.structured_outputs[name].shape
        if problem and tensor.shape[0] in fixed and shape.rank and shape[0] != batch:
            raise problem
    for operation in function.graph.get_operations():
        if any(tensor.dtype in (tf.float16, tf.bfloat16) for tensor in operation.outputs):
            raise ValueError(
                f"`model` must compute in float32 but {operation.name!r} gives "
                f"{operation.outputs[0].dtype.name}, for which TFLite has few kernels: rebuild it "
                "under the policy 'float32' and copy the weights with set_weights()."
            )
    return function


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Turns the converter's pages of compiler output into one sentence."""
    try:
        yield
    except Exception as error:
        if type(error).__name__ != "ConverterError":
            raise
        operations = re.search(r"(?:Select|Custom) ops: (.+)", str(error))
        if operations is None:
            raise ValueError(
                f"`model` cannot be converted to TFLite ({first_line(error)}): export a "
                "smaller part of it to find the layer that is to blame."
            ) from error
        raise ValueError(
            f"`model` uses operations for which TFLite has no kernel, {operations[1].strip()}: "
            "replace them, or export a model that ends before them."
        ) from error
