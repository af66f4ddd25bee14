"""The bridge to tfmot: a pruning wrapper that draws probabilistic masks in the forward pass."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import tensorflow as tf
import tf_keras as keras

from keras_spp.frameworks.pruning_wrapper import (
    Driver,
    PruningWrapper,
    check_schedule,
)
from keras_spp.frameworks.tf_keras import (
    private,
    schedules,  # noqa: F401  (registers them)
)
from keras_spp.frameworks.tf_keras.masked_weight import MaskedWeight
from keras_spp.frameworks.tf_keras.standstill import Standstill
from keras_spp.frameworks.tf_keras.variables import copies

UNFINISHED = (
    "This SavedModel is pruned but not finished, and training it would not go on pruning: "
    "import keras_spp before keras.models.load_model and pass callbacks=[keras_spp.SPPCallback()] "
    "to fit."
)


def unwrap(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Returns the layer inside a PruneSPP wrapper; any other layer itself."""
    return layer.layer if isinstance(layer, PruneSPP) else layer


class Shown(NamedTuple):
    """Stands for a metric where Keras asks for no more than the name."""

    name: str


class KeepPruned:
    """A constraint, applied by the optimizer after its step: what is pruned stays exactly zero.

    Momentum and weight decay would otherwise move weights that have no gradient.
    """

    def __init__(self, wrapper: PruneSPP, masked: MaskedWeight, inner: Any) -> None:
        self.wrapper, self.masked, self.inner = wrapper, masked, inner

    def __call__(self, weight: tf.Tensor) -> tf.Tensor:
        """Applies the user's own constraint first, then puts the zeros."""
        weight = self.inner(weight) if self.inner is not None else weight
        return weight * tf.cast(self.masked.spread(self.wrapper.mask), weight.dtype)


class GroupPruning:
    """What tfmot expects as a wrapper's `pruning_obj`."""

    def __init__(self, wrapper: PruneSPP) -> None:
        self._wrapper = wrapper

    def conditional_mask_update(self) -> tf.Operation:
        """Does nothing: probabilities move inside the training step, for all layers at once."""
        return tf.no_op()

    def weight_mask_op(self) -> tf.Operation:
        """Zeroes what is pruned for good."""
        return tf.group(self._wrapper.zero_pruned())


@keras.saving.register_keras_serializable(package="keras_spp")
class PruneSPP(PruningWrapper, private.PruneLowMagnitude):
    """Masks groups of a layer's input weights with probability p during training.

    `spp.prune` makes these wrappers. In training each group takes part in a step iff
    uniform(0, 1) >= p; the weights behind a dropped group are left as they are. In inference the
    expected weights (1 - p) * W are used and no variable changes.

    Args:
        layer: The layer to wrap: one whose rule reads channels.
        pruning_schedule: The `SPPSchedule`.
        sets: The sets of groups that this layer reads: dicts with name, size, goal (groups to
            prune) and seed.
        weights: The masked weights: dicts with the path, shape and index of a `MaskedWeight`.
        conductor: Whether this is the first wrapper of the model, which moves all
            probabilities at the start of a training step.
        target_speedup: On the conductor, the speedup in MACs at which pruning ends.
        counted: Whose MACs count, see `spp.prune`.
        input_sizes: On the conductor, the sizes of the model's inputs at which they count; None
            for those that the model declares.
        origin: On the conductor, what the metadata of an exported file say of the model that was
            pruned first, if this one was pruned before; see `keras_spp.export.metadata`.
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        pruning_schedule: Any,
        sets: list[dict[str, Any]] | tuple = (),
        weights: list[dict[str, Any]] | tuple = (),
        conductor: bool = False,
        target_speedup: float | None = None,
        counted: str = "all",
        input_sizes: list[list[int]] | None = None,
        origin: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        check_schedule(pruning_schedule)
        # The wrapper computes in its layer's precision: a float32 head stays one under mixed.
        kwargs.setdefault("dtype", layer.dtype_policy if hasattr(layer, "dtype_policy") else None)
        if not hasattr(layer, "get_prunable_weights") and not private.PruneRegistry.supports(layer):
            # tfmot lists classes; what makes a layer prunable here is a rule that reads channels.
            layer.get_prunable_weights = lambda: self.prunable_weights
        super().__init__(layer, pruning_schedule=pruning_schedule, **kwargs)
        # Not tfmot's prefixed name: losses, metrics and targets may be given by an output's name.
        self._name = layer.name
        self.prunable_weights: list[tf.Variable] = []
        self.supports_masking, self.stateful = layer.supports_masking, layer.stateful
        self.remember(sets, conductor, target_speedup, counted, input_sizes, origin)
        self.masked = [MaskedWeight(layer, **entry, groups=self.size) for entry in weights]

    def build(self, input_shape: Any) -> None:
        """Builds the layer and adds one probability per group, instead of weight-sized masks."""
        keras.layers.Wrapper.build(self, input_shape)
        # On the variables and not in the layer's config, which must stay the user's own.
        for entry in self.masked:
            for replica in copies(entry.weight):
                private.replace_constraint(replica, KeepPruned(self, entry, replica.constraint))
        groups = self.size

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
        score = self.of_score
        if score.given:
            self.given = state("given", 0, [groups])
        self.gathers = score.gathers
        if self.gathers:
            self.gathered = state("gathered", 0, [groups])
        # tfmot plots a threshold beside each mask: a group is pruned when p reaches this.
        threshold = state("threshold", 1, [])
        self.pruning_step = state("pruning_step", 0, [], tf.int64)
        if self.conductor:
            self.identity = state("identity", 0, [], tf.int64)
            self.frequency = state("frequency", self.pruning_schedule.frequency or 0, [], tf.int64)
            self.updates_made = state("updates_made", 0, [], tf.int64)
            self.finished = state("finished", 0, [], tf.int64)
            self.planned_until = state("planned_until", 0, [], tf.int64)
            self.fault = state("fault", -1, [2], tf.int64)
            self.standstill = Standstill()
        self.prunable_weights = [entry.weight for entry in self.masked]
        self.pruning_vars = [(weight, self.mask, threshold) for weight in self.prunable_weights]
        self.pruning_obj = GroupPruning(self)

    def attach(self, driver: Driver) -> None:
        """Lets a driver, which knows all wrappers, move the probabilities from now on."""
        before = self.driver
        super().attach(driver)
        if self.conductor and before is not None and before.optimizer is not driver.optimizer:
            self.standstill.forget()

    def show(self, names: Iterable[str]) -> None:
        """Has the progress line show numbers of these names as they are; others it averages.

        Those it does that bear the name of a metric of the model when an epoch begins.
        """
        private.own_metrics(self).extend(map(Shown, names))

    def show_no_more(self) -> None:
        """Takes these names back, before anything computes metrics."""
        metrics = private.own_metrics(self)
        metrics[:] = [entry for entry in metrics if not isinstance(entry, Shown)]

    def reset_states(self) -> None:
        """Resets a stateful recurrent layer, as `model.reset_states()` asks for it."""
        self.layer.reset_states()

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Returns the layer's answer."""
        return self.layer.compute_mask(inputs, mask)

    def sampled(self) -> tf.Tensor:
        """Draws the groups' masks of the present training step, 0 and 1, shape (groups,)."""
        assert self._driver is not None
        step = self._driver.clock()
        parts = tf.split(self.p, [entry["size"] for entry in self.sets])
        kept = [
            self.pruning_schedule.draw(part, entry["seed"], step)
            for part, entry in zip(parts, self.sets, strict=True)
        ]
        return tf.cast(tf.concat(kept, 0), tf.float32)

    def gather(self, gradient: tf.Tensor) -> None:
        """Adds the magnitude of the loss's gradient by the groups' masks, shape (groups,)."""
        replicas = tf.distribute.get_replica_context()
        if replicas is not None and replicas.num_replicas_in_sync > 1:  # all rank alike
            gradient = replicas.all_reduce(tf.distribute.ReduceOp.SUM, gradient)
        # A loss that is scaled for float16 overflows now and then; the optimizer skips that too.
        finite = tf.where(tf.math.is_finite(gradient), tf.abs(gradient), 0)
        self.gathered.assign_add(finite)

    def take_gathered(self) -> tf.Tensor:
        """Returns what was gathered, shape (groups,); gathering starts again."""
        gathered = tf.identity(self.gathered)
        with tf.control_dependencies([gathered]):
            self.gathered.assign(tf.zeros_like(self.gathered))
        return gathered

    def factors(self, sampled: bool) -> list[tf.Tensor]:
        """Returns what each masked weight is multiplied with in the present training step.

        Args:
            sampled: Whether masks are drawn, or those of the expected network are meant.
        """
        groups = self.sampled() if sampled else self.expected()
        return [entry.spread(groups) for entry in self.masked]

    def call(self, inputs: Any, training: Any = None, **kwargs: Any) -> Any:
        """Calls the layer with the masked weight."""
        if training is None:
            training = keras.backend.learning_phase()

        def in_training() -> list[tf.Tensor]:
            if private.in_tf_saved_model_scope():
                # Saving traces the training branch too, in models that nothing drives. The trace
                # is for programs that do not know this class and cannot go on pruning.
                if self.conductor:
                    tf.debugging.Assert(self.finished > 0, [UNFINISHED], name="unfinished")
                return self.factors(sampled=False)
            if self._driver is None:
                raise RuntimeError(
                    f"{self.name} was called with training=True but nothing drives its pruning: "
                    f"pass callbacks=[spp.SPPCallback()] to fit, or call "
                    f"spp.Pruner(model, optimizer) before a training loop of your own."
                )
            if self.conductor:
                self._driver.move()
            return self.factors(sampled=True)

        def in_inference() -> list[tf.Tensor]:
            samples = (
                self.pruning_schedule.evaluation == "sampled"
                and not private.in_tf_saved_model_scope()
            )
            driven = self._driver is not None and self._driver.counts_steps()
            return self.factors(sampled=samples and driven)

        if not private.expects_mask(self.layer):  # Keras gives a sequence's mask to every **kwargs
            kwargs.pop("mask", None)
        factors = private.tfmot_utils.smart_cond(training, in_training, in_inference)
        # Also where training is False: layers of a base called so are trained, and pruned, too.
        gather = self.gather if self.gathers else None
        with contextlib.ExitStack() as stack:
            for entry, values in zip(self.masked, factors, strict=True):
                stack.enter_context(entry.multiplied(values, self.compute_dtype, gather))
            return self.layer(inputs, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """Returns everything that a wrapper needs to go on alone after loading."""
        return {**keras.layers.Wrapper.get_config(self), **self.own_config()}
