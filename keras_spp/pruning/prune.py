"""`spp.prune`: wraps what can be pruned and decides how much of it goes."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_spp.allocation.greedy import importance
from keras_spp.allocation.search import Search
from keras_spp.core import goals as allocating
from keras_spp.core import scores
from keras_spp.core.groups import GRANULARITIES, Groups
from keras_spp.core.schedule import OneShotSchedule, Schedule, SPPSchedule
from keras_spp.devices import device as latency
from keras_spp.devices.device import Device
from keras_spp.export import metadata
from keras_spp.frameworks.tf_keras.clone import clone_layer
from keras_spp.frameworks.tf_keras.distribution import require_copies
from keras_spp.frameworks.tf_keras.graph import layers
from keras_spp.frameworks.tf_keras.openable import opened
from keras_spp.frameworks.tf_keras.rebuilding import copy_weights, rebuild
from keras_spp.frameworks.tf_keras.signature import check_taken, input_sizes
from keras_spp.frameworks.tf_keras.stack import require_tf_keras_model
from keras_spp.frameworks.tf_keras.stages import require_unwrapped
from keras_spp.frameworks.tf_keras.tracing import find_channels
from keras_spp.frameworks.tf_keras.variables import host
from keras_spp.frameworks.tf_keras.wrapper import PruneSPP
from keras_spp.pruning.target_latency import meet_latency, parse
from keras_spp.shrinking.shrink import shrink
from keras_spp.training.pruner import Pruner
from keras_spp.util.checks import check_integer, check_number
from keras_spp.util.files import check_apart

COUNTED = ("all", "convolutions")


def prune(
    model: keras.Model,
    pruning_ratio: float | Mapping[str, float] | None = None,
    *,
    target_speedup: float | None = None,
    target_latency: float | str | None = None,
    device: str | Device = "local",
    granularity: str = "channel",
    schedule: Schedule | None = None,
    policy: Any = None,
    allocation: allocating.Allocation | None = None,
    round_to: int = 8,
    seed: int = 0,
    representative_data: Any = None,
    counted: str = "all",
    input_shape: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
) -> keras.Model:
    """Prepares a model for Structured Probabilistic Pruning (Wang et al., BMVC 2018).

    The result trains like the model, but drops groups of weights at random; `fit` with
    `spp.SPPCallback` moves the probabilities until the target is met and then fine-tunes.

    Args:
        model: A built functional or Sequential tf_keras model. It is not modified.
        pruning_ratio: Share of groups to prune, in [0, 1): one number (of every layer; of all
            groups together with an allocation that sees differences) or a dict from layer name to
            ratio. With "channel" a layer's ratio is that of its filters (layers whose outputs are
            added share one), with "column" that of its columns. Layers that a dict does not name
            are not pruned.
        target_speedup: Instead: dense MACs over remaining MACs, at least 1.
        target_latency: Instead, with "channel": the latency of the small model's float32 TFLite
            file, as a share of the dense one's, in (0, 1), or as a time, such as "12ms".
        device: Where that is measured: a name as for `spp.benchmark`, or an `spp.Device`, which
            remembers the latencies of single layers. Not used for other targets.
        granularity: "channel" (all weights that read one channel, in every layer: the network
            becomes physically smaller) or "column" (one kernel position of one input channel,
            the paper's own; convolutions only).
        schedule: An `SPPSchedule`; None takes the default one, whose frequency is chosen from
            the steps that `fit` will run. To compare with: `GradualSchedule`, `OneShotSchedule`.
        policy: A tfmot `PruningPolicy`: layers whose kernel it refuses keep it whole.
        allocation: How a target is spread over layers. None: by `spp.Search()` for a target
            speedup or latency if there are representative data to judge layers by, otherwise by
            `spp.Uniform()`.
        round_to: The channels (columns) that survive in a layer are rounded up to a multiple of
            this, and are never fewer.
        seed: Decides all masks.
        representative_data: What the model takes, for allocations that look at data: batches, as
            for `fit` if they hold targets too, one array of samples, or a function without
            arguments that returns such data.
        counted: The MACs of a speedup are those of "all" layers, or of "convolutions" only, as
            the paper counts (kernels of at least three axes, depthwise ones included).
        input_shape: The input's sizes without the batch at which MACs are counted and latencies
            taken, for a model that leaves some of them open (None), and goes on doing so; a dict
            from input name to sizes for a model with several inputs.

    Returns:
        A new model with its own weights, not compiled.

    Raises:
        TypeError: If `model` is no tf_keras model or an argument has the wrong type.
        ValueError: If an argument is outside its range, the target is out of reach, the model
            is pruned already or wrapped by tfmot in another way (for quantization, say), has
            nothing to prune (layers with trainable=False are left as they are) or has weights that
            are not finite, or this is the scope of a `tf.distribute` strategy other than the
            mirrored ones.
        OSError: If `device` cannot be reached or lacks something, as for `spp.benchmark`.

    Warns:
        UserWarning: If no plan comes close to the target latency, or a ratio is rounded to
            nothing in all layers, or in one that is named.

    Example:
        >>> import tf_keras as keras
        >>> model = keras.Sequential([
        ...     keras.Input((8, 8, 3)), keras.layers.Conv2D(16, 3), keras.layers.ReLU(),
        ...     keras.layers.Conv2D(16, 3), keras.layers.Flatten(), keras.layers.Dense(4)])
        >>> pruned = prune(model, target_speedup=1.5)
        >>> [type(layer).__name__ for layer in pruned.layers]
        ['Conv2D', 'ReLU', 'PruneSPP', 'Flatten', 'PruneSPP']
    """
    require_tf_keras_model(model)
    require_copies(tf.distribute.get_strategy())
    targets = {
        "pruning_ratio": pruning_ratio,
        "target_speedup": target_speedup,
        "target_latency": target_latency,
    }
    _check_targets(targets, granularity)
    _check_arguments(granularity, schedule, counted)
    where = latency.find(device)
    check_integer("round_to", round_to, 1)
    check_integer("seed", seed, 0)
    _check_methods("policy", policy, "allow_pruning", "ensure_model_supports_pruning")
    _check_methods("allocation", allocation, "prepare", "ratios")
    check_apart("`allocation`'s cache", getattr(allocation, "cache", None), where.files())
    schedule = schedule or SPPSchedule()
    if allocation is None:
        judged = pruning_ratio is None and representative_data is not None
        allocation = Search() if judged else allocating.Uniform()
    require_unwrapped(model)
    _check_weights(model)
    if policy is not None:
        policy.ensure_model_supports_pruning(model)

    sizes = None if input_shape is None else input_sizes(model, input_shape)
    given, model = model, opened(model)
    coupling = find_channels(model, policy, to_prune=True, sizes=sizes)
    coupling.counted = counted
    groups = Groups(coupling, granularity, seed)
    if not any(entry.size > entry.step(round_to) for entry in groups.sets):
        raise ValueError(
            f"`model` {model.name!r} has nothing to prune with granularity={granularity!r} and "
            f"round_to={round_to}: spp.analyze(model) says why for each layer."
        )
    scores.get(schedule.score).check(groups)
    if granularity == "column" and isinstance(schedule, OneShotSchedule):
        groups.scores = importance(groups)  # too late to stop when freed producers meet the target
    if pruning_ratio is None and coupling.channels.unknown_size:
        if sizes is not None:
            check_taken(given, sizes)
        name = "target_speedup" if target_latency is None else "target_latency"
        raise ValueError(
            f"`{name}` counts MACs, which are unknown because the model's input size is not fixed "
            "(or a layer without a rule cannot be called on one sample): give input_shape, or "
            "pruning_ratio instead."
        )
    if target_latency is not None:

        def small() -> keras.Model:
            return at_goals(_wrap(model, groups, schedule))

        meet_latency(
            model,
            groups,
            target_latency,
            allocation,
            representative_data,
            round_to,
            where,
            small,
            sizes,
        )
    else:
        allocation.prepare(model, groups, representative_data)
    if target_speedup is not None:
        allocating.meet_speedup(groups, float(target_speedup), allocation, round_to)
    elif isinstance(pruning_ratio, Mapping):
        allocating.meet_ratios(groups, pruning_ratio, round_to)
    elif pruning_ratio is not None:
        allocating.meet_ratio(groups, float(pruning_ratio), allocation, round_to)
    _warn_of_rounding(groups, pruning_ratio, round_to)

    # Goals of columns do not foresee the producers that they free, so pruning may have to end
    # before them. Goals of channels are the target, in whole blocks.
    ends_at = target_speedup if granularity == "column" else None
    pruned = _wrap(
        model,
        groups,
        schedule,
        target_speedup=ends_at,
        input_sizes=None if sizes is None else [list(each) for each in sizes],
        origin=metadata.origin(given),
    )
    Pruner(pruned)
    _warn_of_lost_methods(given, pruned)
    return pruned


def at_goals(pruned: keras.Model) -> keras.Model:
    """What would be left of a model at its goals: for latency it does not matter what goes."""
    pruner = Pruner(pruned)
    of_group = pruner.sets.of_group
    place = np.arange(len(of_group)) - np.searchsorted(of_group, of_group)
    pruner.set_probabilities(place < pruner.sets.goal[of_group])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nobody has counted these groups as pruned
        return shrink(pruned)


def _warn_of_rounding(groups: Groups, ratio: Any, round_to: int) -> None:
    named = isinstance(ratio, Mapping)
    asked = [
        entry
        for entry in groups.sets
        if (any(map(ratio.get, set(ratio).intersection(entry.layers))) if named else ratio)
    ]
    spared = [entry.name for entry in asked if not entry.goal]
    if spared and (named or len(spared) == len(asked)):
        warnings.warn(
            f"prune: `pruning_ratio` {ratio} comes to no channel or column of {spared} that "
            f"round_to={round_to} lets go, so nothing of them will be pruned: raise it or lower "
            f"round_to.",
            stacklevel=3,
        )


def _warn_of_lost_methods(model: keras.Model, pruned: keras.Model) -> None:
    """A class that builds its own graph cannot be made again from another graph."""
    own = [
        name
        for name in ("train_step", "test_step", "predict_step", "compute_loss", "compute_metrics")
        if getattr(type(pruned), name) is not getattr(type(model), name)
    ]
    if own:
        warnings.warn(
            f"prune: the result is a plain Model without the {', '.join(own)} of "
            f"{type(model).__name__}: give that class a constructor (inputs, outputs, **kwargs).",
            stacklevel=3,
        )


def _wrap(
    model: keras.Model, groups: Groups, schedule: Schedule, **of_conductor: Any
) -> keras.Model:
    """The pruned model; its first wrapper gets what is said once for the model."""
    readers = {id(reader.layer): reader for reader in groups.readers}
    trained = (layer for layer in layers(model, in_training=True) if id(layer) in readers)
    first = next(trained, None)
    if first is None:
        raise ValueError(
            f"`model` {model.name!r} calls every layer that could be pruned with training=False, "
            f"so no training step would reach them: leave the argument out for one of them."
        )

    def make_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
        inner = clone_layer(layer)
        reader = readers.get(id(layer))
        if reader is None:
            return inner
        return PruneSPP(
            inner,
            copy.copy(schedule),
            sets=[entry.config() for entry in reader.sets],
            weights=[masked.config() for masked in reader.weights],
            conductor=layer is first,
            counted=groups.coupling.counted,
            **(of_conductor if layer is first else {}),
        )

    pruned = rebuild(model, make_layer)
    copy_weights(model, pruned)
    return pruned


def _check_targets(targets: Mapping[str, Any], granularity: Any) -> None:
    given = {name: value for name, value in targets.items() if value is not None}
    if len(given) != 1:
        got = " and ".join(f"{name}={value!r}" for name, value in given.items()) or "none"
        raise ValueError(
            f"`pruning_ratio`, `target_speedup` and `target_latency` exclude each other but are "
            f"given as {got}: give one of them."
        )
    ratio, speedup, latency_now = targets.values()
    for name, value in ratio.items() if isinstance(ratio, Mapping) else [("", ratio)]:
        if value is not None:
            where = f"[{name!r}]" if name else ""
            check_number(f"pruning_ratio{where}", value, 0, 1 - 1e-9, "a number in [0, 1)")
    if speedup is not None:
        check_number("target_speedup", speedup, 1, 1e12, "a number of at least 1")
    if latency_now is not None:
        parse(latency_now)
        if granularity == "column":
            raise ValueError(
                '`granularity` must be "channel" with target_latency but is "column": what packed '
                "columns gain is measured by export_tflite only."
            )


def _check_arguments(granularity: Any, schedule: Any, counted: Any) -> None:
    if granularity not in GRANULARITIES:
        choices = " or ".join(map(repr, GRANULARITIES))
        raise ValueError(f"`granularity` must be {choices} but is {granularity!r}.")
    if counted not in COUNTED:
        raise ValueError(f'`counted` must be "all" or "convolutions" but is {counted!r}.')
    if schedule is not None and not isinstance(schedule, Schedule):
        raise TypeError(
            f"`schedule` must be an spp.SPPSchedule, GradualSchedule or OneShotSchedule but is "
            f"{schedule!r}."
        )


def _check_methods(name: str, value: Any, *methods: str) -> None:
    if isinstance(value, type):
        raise TypeError(f"`{name}` must be an object but is the class: give {value.__name__}().")
    if value is not None and not all(callable(getattr(value, method, None)) for method in methods):
        raise TypeError(f"`{name}` must have the methods {' and '.join(methods)} but is {value!r}.")


def _check_weights(model: keras.Model) -> None:
    for layer in layers(model):
        for weight in layer.weights:
            if weight.dtype.is_floating and not np.isfinite(host(weight)).all():
                raise ValueError(
                    f"`model` holds NaN or infinity in the weight {weight.name!r} of layer "
                    f"{layer.name!r}: load a sound checkpoint first."
                )
