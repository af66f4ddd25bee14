"""The bridge to tfmot: a pruning wrapper that draws probabilistic masks in the forward pass.

The only file that touches tfmot's private modules; `tests/test_wrapper.py` pins what it uses.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras
from tensorflow_model_optimization.python.core.keras import utils as tfmot_utils
from tensorflow_model_optimization.python.core.sparsity.keras.prune_registry import PruneRegistry
from tensorflow_model_optimization.python.core.sparsity.keras.pruning_wrapper import (
    PruneLowMagnitude,
)
from tf_keras.src.saving.legacy.saved_model.utils import in_tf_saved_model_scope

from keras_spp import probability


def unwrap(layer: keras.layers.Layer) -> keras.layers.Layer:
    """The layer inside a PruneSPP wrapper; any other layer itself."""
    return layer.layer if isinstance(layer, PruneSPP) else layer


def raw(variable: tf.Variable) -> tf.Variable:
    """The variable in its own dtype, under mixed precision too."""
    return getattr(variable, "_variable", variable) if hasattr(variable, "true_dtype") else variable


class KeepPruned:
    """A constraint, applied by the optimizer after its step: what is pruned stays exactly zero.

    Momentum and weight decay would otherwise move weights that have no gradient.
    """

    def __init__(self, wrapper: PruneSPP, inner: Any) -> None:
        self.wrapper, self.inner = wrapper, inner

    def __call__(self, weight: tf.Tensor) -> tf.Tensor:
        """The user's own constraint first, then the zeros."""
        weight = self.inner(weight) if self.inner is not None else weight
        return weight * tf.cast(self.wrapper.per_weight(self.wrapper.mask), weight.dtype)


class GroupPruning:
    """What tfmot expects as a wrapper's `pruning_obj`."""

    def __init__(self, wrapper: PruneSPP) -> None:
        self._wrapper = wrapper

    def conditional_mask_update(self) -> tf.Operation:
        """Nothing: probabilities move inside the training step, for all layers at once."""
        return tf.no_op()

    def weight_mask_op(self) -> tf.Operation:
        """Zeroes what is pruned for good. Never what a mask merely dropped in one step."""
        kernel = raw(self._wrapper.kernel)
        mask = self._wrapper.per_weight(self._wrapper.mask)
        return tf.group(kernel.assign(kernel * tf.cast(mask, kernel.dtype)))


@keras.saving.register_keras_serializable(package="keras_spp")
class PruneSPP(PruneLowMagnitude):
    """Masks groups of a layer's input weights with probability p during training.

    `spp.prune` makes these wrappers. In training each group takes part in a step iff
    uniform(0, 1) >= p; the weights behind a dropped group are left as they are. In inference the
    expected weights (1 - p) * W are used and no variable changes.

    Args:
        layer: The layer to wrap: one whose rule reads channels.
        pruning_schedule: The `SPPSchedule`.
        weight: Name of the masked weight, "kernel" or "pointwise_kernel".
        group_shape: Shape of the mask; it broadcasts against the weight.
        sets: The sets of groups that this layer reads: dicts with name, size, goal (groups to
            prune) and seed.
        index: For each position of the mask in C order its group among all groups of `sets`,
            one past the last for positions that are never pruned; None if they are the groups.
        conductor: Whether this is the first wrapper of the model, which moves all
            probabilities at the start of a training step.
        target_speedup: On the conductor, the speedup in MACs at which pruning ends.
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        pruning_schedule: Any,
        weight: str = "kernel",
        group_shape: list[int] | None = None,
        sets: list[dict[str, Any]] | tuple = (),
        index: list[int] | None = None,
        conductor: bool = False,
        target_speedup: float | None = None,
        **kwargs: Any,
    ) -> None:
        # The wrapper computes in its layer's precision: a float32 head stays one under mixed.
        kwargs.setdefault("dtype", layer.dtype_policy if hasattr(layer, "dtype_policy") else None)
        if not hasattr(layer, "get_prunable_weights") and not PruneRegistry.supports(layer):
            # tfmot lists classes; what makes a layer prunable here is a rule that reads channels.
            layer.get_prunable_weights = lambda: [getattr(layer, weight)]
        super().__init__(layer, pruning_schedule=pruning_schedule, **kwargs)
        self.weight = weight
        self.group_shape = list(group_shape or ())
        self.sets = [dict(entry) for entry in sets]
        self.index = None if index is None else list(index)
        self.conductor = conductor
        self.target_speedup = target_speedup
        self.pruner: Any = None  # set by keras_spp.pruner.Pruner, which knows all wrappers

    @property
    def kernel(self) -> tf.Variable:
        """The weight that is masked."""
        return getattr(self.layer, self.weight)

    def build(self, input_shape: Any) -> None:
        """Builds the layer and adds one probability per group, instead of weight-sized masks."""
        keras.layers.Wrapper.build(self, input_shape)
        # On the variables and not in the layer's config, which must stay the user's own.
        for replica in getattr(raw(self.kernel), "values", [raw(self.kernel)]):
            replica._constraint = KeepPruned(self, replica.constraint)
        groups = sum(entry["size"] for entry in self.sets)

        def state(name: str, value: float, shape: list[int], dtype: Any = tf.float32) -> Any:
            return self.add_weight(
                name=name,
                shape=shape,
                dtype=dtype,
                initializer=keras.initializers.Constant(value),
                trainable=False,
                experimental_autocast=False,
            )

        self.p = state("p", 0, [groups])
        self.score = state("score", 0, [groups])
        self.mask = state("mask", 1, [groups])
        # tfmot plots a threshold beside each mask: a group is pruned when p reaches this.
        threshold = state("threshold", 1, [])
        self.pruning_step = state("pruning_step", 0, [], tf.int64)
        if self.conductor:
            self.frequency = state("frequency", self.pruning_schedule.frequency or 0, [], tf.int64)
            self.updates_made = state("updates_made", 0, [], tf.int64)
            self.finished = state("finished", 0, [], tf.int64)
            self.planned_until = state("planned_until", 0, [], tf.int64)
        self.prunable_weights = [self.kernel]
        self.pruning_vars = [(self.kernel, self.mask, threshold)]
        self.pruning_obj = GroupPruning(self)

    def per_weight(self, groups: tf.Tensor) -> tf.Tensor:
        """Spreads one value per group over the mask's shape; 1 where nothing is ever pruned."""
        if self.index is not None:
            never = tf.ones([1], groups.dtype)
            groups = tf.gather(tf.concat([groups, never], 0), tf.constant(self.index))
        return tf.reshape(groups, self.group_shape)

    def per_group(self, values: tf.Tensor) -> tf.Tensor:
        """Sums one value per mask position over each group; the inverse of `per_weight`."""
        values = tf.reshape(values, [-1])
        if self.index is None:
            return values
        groups = self.p.shape[0]
        return tf.math.unsorted_segment_sum(values, tf.constant(self.index), groups + 1)[:groups]

    def norms(self) -> tf.Tensor:
        """L1 norm of every group's weights in this layer, shape (groups,)."""
        kernel = raw(self.kernel)
        others = [axis for axis, size in enumerate(self.group_shape) if size == 1]
        return self.per_group(tf.reduce_sum(tf.abs(tf.cast(kernel, tf.float32)), others))

    def sampled(self) -> tf.Tensor:
        """The mask of the present training step, as 0 and 1."""
        step = self.pruner.clock()
        parts = tf.split(self.p, [entry["size"] for entry in self.sets])
        kept = [
            probability.keep(part, entry["seed"], step)
            for part, entry in zip(parts, self.sets, strict=True)
        ]
        return self.per_weight(tf.cast(tf.concat(kept, 0), tf.float32))

    def expected(self) -> tf.Tensor:
        """The keep probabilities 1 - p: the expected network's mask."""
        return self.per_weight(1 - self.p)

    def call(self, inputs: Any, training: Any = None, **kwargs: Any) -> Any:
        """Calls the layer with the masked weight."""
        if training is None:
            training = keras.backend.learning_phase()

        def in_training() -> tf.Tensor:
            if in_tf_saved_model_scope():
                # Saving traces the training branch too, in models that nothing drives. The trace
                # is for programs that do not know this class and cannot go on pruning.
                return self.expected()
            if self.pruner is None:
                raise RuntimeError(
                    f"{self.name} was called with training=True but nothing drives its pruning: "
                    f"pass callbacks=[spp.SPPCallback()] to fit, or call "
                    f"spp.Pruner(model, optimizer) before a training loop of your own."
                )
            if self.conductor:
                self.pruner.move()
            return self.sampled()

        mask = tfmot_utils.smart_cond(training, in_training, self.expected)
        with self._substituted(self.kernel * tf.cast(mask, self.compute_dtype)):
            return self.layer(inputs, **kwargs)

    @contextlib.contextmanager
    def _substituted(self, value: tf.Tensor) -> Iterator[None]:
        # Straight into the instance's dict: Keras' own setattr would untrack the variable and
        # so reorder the layer's weights. Every layer class that reads the attribute in its
        # call is served alike, which no hook of Keras offers.
        attributes = self.layer.__dict__
        variable = attributes[self.weight]
        attributes[self.weight] = value
        try:
            yield
        finally:
            attributes[self.weight] = variable

    def get_config(self) -> dict[str, Any]:
        """Everything that a wrapper needs to go on alone after loading."""
        config = keras.layers.Wrapper.get_config(self)
        config["pruning_schedule"] = self.pruning_schedule.get_config()
        return {
            **config,
            "weight": self.weight,
            "group_shape": list(self.group_shape),
            "sets": [dict(entry) for entry in self.sets],
            "index": None if self.index is None else list(self.index),
            "conductor": self.conductor,
            "target_speedup": self.target_speedup,
        }


def host(variable: tf.Variable) -> np.ndarray:
    """A variable's value as an array."""
    return raw(variable).numpy()
