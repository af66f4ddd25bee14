"""`spp.prune`: wraps what can be pruned and decides how much of it goes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_spp import frameworks
from keras_spp.analysis.provenance import origin
from keras_spp.core import scores
from keras_spp.core.goals import Allocation
from keras_spp.core.schedule import Schedule, SPPSchedule
from keras_spp.devices import device as latency
from keras_spp.devices.device import Device
from keras_spp.frameworks.interface import Adapter, Model
from keras_spp.pruning.order import of_schedule
from keras_spp.pruning.planning import Options
from keras_spp.training.pruner import Pruner
from keras_spp.util import progress
from keras_spp.util.checks import check_integer


def prune(
    model: Model,
    pruning_ratio: float | Mapping[str, float] | None = None,
    *,
    target_speedup: float | None = None,
    target_latency: float | str | None = None,
    device: str | Device = "local",
    granularity: str = "channel",
    schedule: Schedule | None = None,
    policy: Any = None,
    allocation: Allocation | None = None,
    round_to: int = 8,
    seed: int = 0,
    representative_data: Any = None,
    counted: str = "all",
    input_shape: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
    verbose: int = 1,
) -> Model:
    """Prepares a model for Structured Probabilistic Pruning (Wang et al., BMVC 2018).

    The result trains like the model, but drops groups of weights at random; `fit` with
    `spp.SPPCallback` moves the probabilities until the target is met and then fine-tunes.

    Args:
        model: A built functional or Sequential model of tf_keras or Keras 3. It is not modified.
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
        representative_data: What the model takes, for allocations and scores that look at data:
            batches, as for `fit` if they hold targets too, one array of samples, or a function
            without arguments that returns such data.
        counted: The MACs of a speedup are those of "all" layers, or of "convolutions" only, as
            the paper counts (kernels of at least three axes, depthwise ones included).
        input_shape: The input's sizes without the batch at which MACs are counted and latencies
            taken, for a model that leaves some of them open (None), and goes on doing so; a dict
            from input name to sizes for a model with several inputs.
        verbose: 0 shows nothing, 1 a progress bar where planning takes long: an allocation that
            measures, or `target_latency`.

    Returns:
        A new model with its own weights, not compiled.

    Raises:
        TypeError: If `model` is no Keras model or an argument has the wrong type.
        ValueError: If an argument is outside its range, the target is out of reach, the model
            is pruned already or wrapped by tfmot in another way (for quantization, say), has
            nothing to prune (layers with trainable=False are left as they are) or has weights that
            are not finite, or this is the scope of a `tf.distribute` strategy other than the
            mirrored ones (for Keras 3: of any on several devices).
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
    framework = frameworks.of(model)
    framework.require_copies()
    check_integer("verbose", verbose, 0)
    options = Options(
        pruning_ratio,
        target_speedup,
        target_latency,
        latency.find(device),
        granularity,
        policy,
        allocation,
        round_to,
        seed,
        counted,
        input_shape,
    )
    if schedule is not None and not isinstance(schedule, Schedule):
        raise TypeError(
            f"`schedule` must be an spp.SPPSchedule, GradualSchedule or OneShotSchedule but is "
            f"{schedule!r}."
        )
    schedule = schedule or SPPSchedule()
    in_columns = granularity == "column"
    order = of_schedule(schedule, model, granularity, representative_data)
    network = options.network(model, scores=order)
    framework.check_score(schedule.score, network.groups)
    framework.find_conductor(network.model, network.groups)
    with progress.shown(verbose):
        goals = options.goals(network, representative_data)

    sizes = network.sizes
    pruned = framework.wrap(
        network.model,
        network.groups,
        goals,
        schedule,
        counted,
        # Goals of columns do not foresee the producers that they free, so pruning may have to end
        # before them. Goals of channels are the target, in whole blocks.
        target_speedup=options.target.speedup if in_columns else None,
        input_sizes=None if sizes is None else [list(of_input) for of_input in sizes],
        origin=origin(model),
    )
    if scores.get(schedule.score).given:
        _give(framework, pruned, network.groups.scores or {})
    Pruner(pruned)
    _warn_of_lost_methods(model, pruned)
    return pruned


def _give(framework: Adapter, pruned: Model, importance: Mapping[str, np.ndarray]) -> None:
    """Writes the ranks of all groups into the wrappers, where the schedule's score finds them."""
    ranks = {name: values.argsort(kind="stable").argsort() for name, values in importance.items()}
    for wrapper in framework.wrappers(pruned):
        joined = np.concatenate([ranks[entry["name"]] for entry in wrapper.sets])
        framework.write(wrapper.given, joined)


def _warn_of_lost_methods(model: Model, pruned: Model) -> None:
    """Warns if a class that builds its own graph could not be made again from another."""
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
