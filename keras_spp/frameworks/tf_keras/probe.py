"""A copy of a model to be tried: without some of its groups, and with hooks at its layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_spp.core.groups import Groups, Reader
from keras_spp.frameworks.interface import Hook
from keras_spp.frameworks.tensorflow import arrays
from keras_spp.frameworks.tf_keras.clone import clone_layer
from keras_spp.frameworks.tf_keras.masked_weight import MaskedWeight
from keras_spp.frameworks.tf_keras.rebuilding import rebuild
from keras_spp.frameworks.tf_keras.variables import copies, host, raw


class Probe:
    """A copy of a model, with weights of its own.

    Args:
        model: A functional or Sequential model, pruned or not; it is not modified.
        groups: The model's groups, to take some away.
        hooks: Gives the hook of each layer of the model, or None. Hooks are called when the copy
            is called eagerly.

    Attributes:
        model: The copy.
    """

    def __init__(
        self,
        model: keras.Model,
        groups: Groups | None = None,
        hooks: Callable[[Any], Hook | None] = lambda layer: None,
    ) -> None:
        made: dict[int, keras.layers.Layer] = {}
        self.model = _copied(model, hooks, made)
        self._readers = [] if groups is None else groups.readers
        self._masked = [_masked(reader, made) for reader in self._readers]
        self._changed: list[tuple[tf.Variable, np.ndarray]] = []
        self._call = tf.function(lambda inputs: self.model(inputs, training=False))

    def zero(self, kept: Mapping[str, np.ndarray]) -> None:
        """Zeroes groups until `restore`.

        Args:
            kept: Which groups stay, booleans of shape (size,) by the name of their set; sets that
                are not named stay whole.
        """
        for reader, weights in zip(self._readers, self._masked, strict=True):
            if all(entry.name not in kept for entry in reader.sets):
                continue
            groups = np.concatenate(
                [kept.get(entry.name, np.ones(entry.size)) for entry in reader.sets]
            )
            for masked in weights:
                self._changed.append((raw(masked.weight), host(masked.weight)))
                masked.multiply(tf.constant(groups, tf.float32))

    def restore(self) -> None:
        """Gives back the groups that `zero` took."""
        for weight, value in reversed(self._changed):
            weight.assign(value)
        self._changed = []

    def call(self, inputs: Any) -> Any:
        """Computes the outputs of a batch of inputs, and calls the hooks."""
        return self.model(inputs, training=False)

    def outputs(self, batches: Iterable[Any], eager: bool = False) -> list[Any]:
        """Computes the outputs of batches of inputs, which stateful layers take for a sequence.

        Args:
            batches: The inputs.
            eager: Whether to call the layers one by one, so that hooks are called.
        """
        self.model.reset_states()
        if not eager:
            return [self._call(inputs) for inputs in batches]
        return list(map(self.call, batches))

    def derivatives(self, scalar: Callable[..., tf.Tensor]) -> Callable[..., list[np.ndarray]]:
        """Returns a function that says what a scalar changes by when groups are scaled.

        Args:
            scalar: A function of the outputs, and of more tensors, that returns one number.

        Returns:
            A function of one batch of inputs and of those tensors: for each reader of the groups
            the derivative by a factor of each group's weights, shape (groups,).
        """
        # Under a distribution strategy the copy that is called here; outside of a replica there
        # is no derivative by all of them.
        weights = [copies(masked.weight)[0] for layer in self._masked for masked in layer]

        @tf.function(reduce_retracing=True)
        def derivatives(inputs: Any, *others: tf.Tensor) -> list[tf.Tensor]:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(weights)
                value = scalar(self.model(inputs, training=False), *others)
            gradients = iter(tape.gradient(value, weights, unconnected_gradients="zero"))
            return [
                tf.add_n([masked.derivative(masked.weight, next(gradients)) for masked in layer])
                for layer in self._masked
            ]

        def of(inputs: Any, *others: Any) -> list[np.ndarray]:
            self.model.reset_states()
            return [values.numpy() for values in derivatives(inputs, *others)]

        return of


def norms(reader: Reader) -> np.ndarray:
    """Returns the L1 norm of each group's weights in a layer, shape (groups,)."""
    magnitudes = [
        mask.layout.summed(arrays, tf.abs(tf.cast(raw(mask.variable), tf.float32)))
        for mask in reader.weights
    ]
    return np.sum(magnitudes, axis=0)


class _Hooked(keras.layers.Layer):
    """Calls a layer, and a hook when it is called eagerly."""

    def __init__(self, layer: keras.layers.Layer, hook: Hook) -> None:
        super().__init__(name=layer.name, dtype=layer.dtype_policy)
        self.layer, self.hook = layer, hook

    def call(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Returns what the layer returns, or what the hook returns in its place."""
        outputs = self.layer(inputs, *args, **kwargs)
        if not tf.executing_eagerly():
            return outputs
        replaced = self.hook(inputs, outputs)
        return outputs if replaced is None else replaced


def _copied(
    model: keras.Model,
    hooks: Callable[[Any], Hook | None],
    made: dict[int, keras.layers.Layer],
) -> keras.Model:
    """Returns a copy with hooks; `made` takes up the copy of each layer, by the layer's id."""
    pairs = []

    def make_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
        copy, hook = clone_layer(layer), hooks(layer)
        pairs.append((layer, copy))
        made[id(layer)] = copy
        return copy if hook is None else _Hooked(copy, hook)

    result = rebuild(model, make_layer)
    for layer, copy in pairs:
        for old, new in zip(layer.weights, copy.weights, strict=True):
            new.assign(old)
        if hasattr(copy, "finalize_state"):
            copy.finalize_state()
    return result


def _masked(reader: Reader, made: Mapping[int, keras.layers.Layer]) -> list[MaskedWeight]:
    """Returns the weights of a reader's copy."""
    size = sum(entry.size for entry in reader.sets)
    layer = made[id(reader.layer)]
    return [MaskedWeight(layer, **mask.config(), groups=size) for mask in reader.weights]
