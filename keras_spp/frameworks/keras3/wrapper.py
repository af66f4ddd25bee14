"""A pruning wrapper for layers of Keras 3 that masks groups of their weights in training."""

from __future__ import annotations

import contextlib
from typing import Any

import keras

from keras_spp.frameworks.keras3 import (
    private,
    schedules,  # noqa: F401  (registers them)
)
from keras_spp.frameworks.keras3.masked_weight import MaskedWeight
from keras_spp.frameworks.keras3.standstill import Standstill
from keras_spp.frameworks.pruning_wrapper import PruningWrapper, check_schedule

ops = keras.ops


def unwrap(layer: Any) -> Any:
    """Returns the layer inside a PruneSPP wrapper; any other layer or function itself."""
    return layer.layer if isinstance(layer, PruneSPP) else layer


@keras.saving.register_keras_serializable(package="keras_spp")
class PruneSPP(PruningWrapper, keras.layers.Wrapper):
    """Masks groups of a layer's input weights with probability p during training.

    `spp.prune` makes these wrappers. In training each group takes part in a step iff
    uniform(0, 1) >= p; the weights behind a dropped group are left as they are. In inference the
    expected weights (1 - p) * W are used and no variable changes. Masks are drawn around training
    steps, not in them (`keras_spp.frameworks.keras3.training_step`).

    Args:
        layer: The layer to wrap: one whose rule reads channels.
        pruning_schedule: The `SPPSchedule`.
        sets: The sets of groups that this layer reads: dicts with name, size, goal (groups to
            prune) and seed.
        weights: The masked weights: dicts with the path, shape and index of a `MaskedWeight`.
        conductor: Whether this is the first wrapper of the model, which holds what there is once.
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
        kwargs.setdefault("dtype", layer.dtype_policy)
        kwargs.setdefault("name", layer.name)
        super().__init__(layer, **kwargs)
        self.pruning_schedule = pruning_schedule
        self.supports_masking = layer.supports_masking
        self.remember(sets, conductor, target_speedup, counted, input_sizes, origin)
        masked = [MaskedWeight(layer, **entry, groups=self.size) for entry in weights]
        self.__dict__.update(masked=masked)
        self.stateful = bool(getattr(layer, "stateful", False))

    def build(self, input_shape: Any) -> None:
        """Builds the layer and adds the state of its groups."""
        if not self.layer.built:
            self.layer.build(input_shape)
            self.layer.built = True
        groups = self.size

        def state(name: str, value: float, shape: tuple = (groups,), dtype: str = "float32") -> Any:
            return self.add_weight(
                name=name,
                shape=shape,
                dtype=dtype,
                initializer=keras.initializers.Constant(value),
                trainable=False,
                autocast=False,
            )

        self.p = state("p", 0)
        self.score = state("score", 0)
        self.mask = state("mask", 1)
        self.drawn = state("drawn", 1)  # the masks of the present training step
        if self.of_score.given:
            self.given = state("given", 0)
        self.gathers = self.of_score.gathers
        if self.gathers:
            self.gathered = state("gathered", 0)
            # Its gradient in a step, which optimizers put in its place.
            self.of_step = self.add_weight(
                name="of_step",
                shape=(groups,),
                dtype="float32",
                initializer="zeros",
                trainable=True,
                autocast=False,
                overwrite_with_gradient=True,
            )
        if self.conductor:
            frequency = self.pruning_schedule.frequency or 0
            self.pruning_step = state("pruning_step", 0, (), "int32")
            self.identity = state("identity", 0, (), "int32")
            self.frequency = state("frequency", frequency, (), "int32")
            self.updates_made = state("updates_made", 0, (), "int32")
            self.finished = state("finished", 0, (), "int32")
            self.planned_until = state("planned_until", 0, (), "int32")
            self.fault = state("fault", -1, (2,), "int32")
            self.__dict__.update(standstill=Standstill(self.masked[0]))
        self.built = True

    def show(self, names: Any) -> None:
        """Does nothing: the progress line of Keras 3 averages what callbacks add."""

    def show_no_more(self) -> None:
        """Does nothing, see `show`."""

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """Returns the layer's answer."""
        return self.layer.compute_mask(inputs, previous_mask)

    def compute_output_shape(self, *shapes: Any) -> Any:
        """Returns the layer's answer, which TimeDistributed asks for."""
        return self.layer.compute_output_shape(*shapes)

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Returns what a call makes: shapes alone do not tell types and structures."""
        args, kwargs = keras.tree.map_structure(_dense, (args, kwargs))
        return keras.Operation.compute_output_spec(self, *args, **kwargs)

    def draw(self, step: Any) -> None:
        """Draws the groups' masks of a training step, 0 and 1.

        Args:
            step: The step, an integer variable.
        """
        kept, start = [], 0
        for entry in self.sets:
            part = self.p[start : start + entry["size"]]
            kept.append(self.pruning_schedule.draw(part, entry["seed"], step))
            start += entry["size"]
        self.drawn.assign(ops.cast(ops.concatenate(kept), "float32"))

    def sampled(self) -> Any:
        """Returns the groups' masks of the present training step, 0 and 1, shape (groups,)."""
        return ops.convert_to_tensor(self.drawn)

    def keep_gathered(self) -> None:
        """Adds what a training step has gathered."""
        if self.gathers:
            self.gathered.assign(self.gathered + self.of_step)
            self.of_step.assign(ops.zeros((self.size,)))

    def take_gathered(self) -> Any:
        """Returns what was gathered, shape (groups,); gathering starts again."""
        gathered = ops.copy(ops.convert_to_tensor(self.gathered))
        self.gathered.assign(ops.zeros((self.size,)))
        return gathered

    def factors(self, sampled: bool) -> list[Any]:
        """Returns what each masked weight is multiplied with in the present training step.

        Args:
            sampled: Whether masks are drawn, or those of the expected network are meant.
        """
        groups = self.sampled() if sampled else self.expected()
        return [entry.spread(groups) for entry in self.masked]

    def call(self, inputs: Any, *args: Any, training: Any = None, **kwargs: Any) -> Any:
        """Calls the layer with the masked weight."""
        drawn = self.driver is not None and self.driver.moves
        if training and not drawn and not private.is_symbolic():
            raise RuntimeError(
                f"{self.name} was called with training=True but nothing has drawn its masks: pass "
                f"callbacks=[spp.SPPCallback()] to fit, or, in a training loop of your own, call "
                f"begin_step() of spp.Pruner(model, optimizer) before each step and end_step() "
                f"after it."
            )
        in_inference = self.pruning_schedule.evaluation == "sampled" and (
            self.driver is not None and self.driver.counts_steps()
        )
        factors = self.factors(sampled=bool(training) or in_inference)
        if private.expects_training(self.layer):
            kwargs["training"] = training
        gather = self.of_step if self.gathers else None
        with contextlib.ExitStack() as stack:
            for entry, values in zip(self.masked, factors, strict=True):
                stack.enter_context(entry.multiplied(values, self.compute_dtype, gather))
            return self.layer(inputs, *args, **kwargs)

    def reset_state(self) -> None:
        """Resets a stateful recurrent layer."""
        if hasattr(self.layer, "reset_state"):
            self.layer.reset_state()

    def get_config(self) -> dict[str, Any]:
        """Returns everything that a wrapper needs to go on alone after loading."""
        return {**super().get_config(), **self.own_config()}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> PruneSPP:
        """Makes a wrapper from what `get_config` returned."""
        config = dict(config)
        schedule = config["pruning_schedule"]
        if isinstance(schedule, dict):
            name = schedule["class_name"]
            kind = keras.saving.get_registered_object(name, custom_objects=custom_objects)
            # Its `from_config`, which a stand-in has too: Keras looks among those of the beginning.
            config["pruning_schedule"] = (
                name if kind is None else kind.from_config(schedule["config"])
            )
        return super().from_config(config, custom_objects)


def _dense(value: Any) -> Any:
    """Returns a symbolic tensor that is not sparse, as which Keras takes `x * 0.5`, too."""
    if isinstance(value, keras.KerasTensor) and value.sparse:
        return keras.KerasTensor(value.shape, value.dtype)
    return value
