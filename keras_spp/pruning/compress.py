"""`spp.compress`: pruning after training, in one call, with unlabelled samples."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from keras_spp import frameworks
from keras_spp.allocation.sensitivity import change
from keras_spp.analysis.analysis import analyze_at
from keras_spp.analysis.provenance import describe, origin, remember, summary
from keras_spp.compensation.compensate import compensate
from keras_spp.compensation.fitting import fit
from keras_spp.compensation.report import Compensation
from keras_spp.compensation.samples import gathered, split
from keras_spp.core.goals import Allocation
from keras_spp.devices import device as latency
from keras_spp.devices.device import Device
from keras_spp.frameworks.data import count
from keras_spp.frameworks.interface import Adapter, Model
from keras_spp.pruning.compensated_search import CompensatedSearch
from keras_spp.pruning.compression import CompressedLayer, Compression, OutputChange
from keras_spp.pruning.one_shot import pruned_at_once
from keras_spp.pruning.order import by_data
from keras_spp.pruning.planning import Options
from keras_spp.util import progress
from keras_spp.util.checks import check_integer

# How long it takes to plan, and an epoch of fitting, where solving for the weights takes 1.
PLANNING, EPOCH = 9.0, 0.1


def compress(
    model: Model,
    representative_data: Any,
    target_speedup: float | None = None,
    *,
    pruning_ratio: float | Mapping[str, float] | None = None,
    target_latency: float | str | None = None,
    device: str | Device = "local",
    granularity: str = "channel",
    policy: Any = None,
    allocation: Allocation | None = None,
    round_to: int = 8,
    seed: int = 0,
    counted: str = "all",
    input_shape: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
    samples: int = 1024,
    epochs: int = 20,
    verbose: int = 1,
    return_report: bool = False,
) -> Any:
    """Prunes a model when it has been trained: some hundred unlabelled samples are enough.

    The model is analysed, a plan is made, the channels go that the others can make up for, and
    the weights of what remains are solved for, layer by layer, so that they give what the
    original gave (see `spp.compensate`). Then all of them are fitted together, by gradients, so
    that the outputs are the original's. The result can be exported, or trained further.

    Args:
        model: A trained functional or Sequential model of tf_keras or Keras 3. It is not modified.
        representative_data: What the model takes: batches, as for `fit` if they hold targets too,
            one array of samples, or a function without arguments that returns such data. Labels
            are not looked at. Samples as they will come later serve better than augmented ones.
        target_speedup: Dense MACs over remaining MACs, at least 1. 2 if there is no other target.
        pruning_ratio: Instead, as for `spp.prune`.
        target_latency: Instead, as for `spp.prune`.
        device: As for `spp.prune`.
        granularity: "channel", or "column" as for `spp.prune`.
        policy: As for `spp.prune`.
        allocation: How a target is spread over layers; None: by a search that tries plans and
            compensates them, and for a pruning ratio by `spp.Uniform()`.
        round_to: The channels (columns) that survive in a layer are rounded up to a multiple of
            this, and are never fewer.
        seed: Decides in which order plans are tried, and at which positions feature maps are
            looked at.
        counted: As for `spp.prune`.
        input_shape: As for `spp.prune`.
        samples: How many samples to use, at most. An eighth of them only tells how much the two
            networks agree, and whether fitting helped: if not, it is tried more gently, or undone.
        epochs: How often each sample is seen when all weights are fitted together; 0: they stay
            as they were solved for.
        verbose: 0 shows nothing, 1 the progress and a closing table.
        return_report: Whether to return the report, too.

    Returns:
        The small model: plain Keras, not compiled. With `return_report` the model and a
        `Compression`: MACs, parameters, what each layer lost, and agreement with the original.

    Raises:
        TypeError: If `model` is no model of either Keras, or an argument has the wrong type.
        ValueError: If an argument is outside its range, the target is out of reach, the model
            cannot be pruned, or there are fewer than 16 samples, or samples that are all alike or
            not finite.
        OSError: If `device` cannot be reached or lacks something, as for `spp.benchmark`.

    Example:
        >>> import numpy as np, tf_keras as keras, keras_spp as spp
        >>> model = keras.Sequential([
        ...     keras.Input((8, 8, 3)), keras.layers.Conv2D(16, 3, activation="relu"),
        ...     keras.layers.Conv2D(16, 3), keras.layers.Flatten(), keras.layers.Dense(4)])
        >>> images = np.random.default_rng(0).normal(size=(64, 8, 8, 3))
        >>> small = compress(model, images, pruning_ratio=0.5, verbose=0)
        >>> [layer.filters for layer in small.layers[:2]]
        [8, 8]
    """
    start = time.perf_counter()
    framework = frameworks.of(model)
    check_integer("samples", samples, 1)
    check_integer("epochs", epochs, 0)
    check_integer("verbose", verbose, 0)
    if target_speedup is None and pruning_ratio is None and target_latency is None:
        target_speedup = 2.0
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
    opened = framework.opened(model)
    batches = gathered(framework, opened, representative_data, int(samples))
    used, held_back = split(framework, opened, batches)
    network = options.network(opened, scores=by_data(used))
    if options.allocation is None and options.target.in_macs:
        options = dataclasses.replace(options, allocation=CompensatedSearch(seed))
    planning = PLANNING if pruning_ratio is None else 0.0  # by default a ratio takes no search
    reason = None
    with progress.work("compress", planning + 1 + EPOCH * epochs, verbose) as whole:
        with whole.part(planning):
            goals = options.goals(network, used)
        small = pruned_at_once(network.model, network.groups, goals)
        last = summary(opened, network.groups.coupling, network.sizes)
        remember(small, origin(model) or last, last)
        with whole.part():
            small, solved = compensate(small, opened, used, samples, seed=seed, return_report=True)
        if epochs:
            with whole.part(EPOCH * epochs):
                reason = fit(framework, small, opened, (used, held_back), epochs, seed)
    before, after = (analyze_at(network.sizes, which) for which in (opened, small))
    report = Compression(
        model=model.name,
        macs=(before.macs, after.macs) if before.fixed_size and after.fixed_size else None,
        params=(before.params, after.params),
        samples=count(used),
        held_back=count(held_back),
        epochs=0 if reason else int(epochs),
        reason=reason,
        seconds=round(time.perf_counter() - start, 1),
        outputs=tuple(_changes(framework, opened, small, held_back)),
        entries=tuple(_layers(last["widths"], describe(small)["widths"], solved)),
    )
    if verbose:
        print(report)
    return (small, report) if return_report else small


def _layers(
    before: Mapping[str, int], after: Mapping[str, int], solved: Compensation
) -> Iterator[CompressedLayer]:
    """Yields what became of each layer with a kernel, whose channels are given by its name."""
    for row in solved:
        known = row.layer in before and row.layer in after
        channels = (before[row.layer], after[row.layer]) if known else None
        yield CompressedLayer(row.layer, channels, row.before, row.after, row.reason)


def _changes(
    framework: Adapter, model: Model, small: Model, batches: list[Any]
) -> Iterator[OutputChange]:
    """Yields how the outputs differ on samples."""
    if not batches:
        return
    outputs = []
    for which in (model, small):
        infer = framework.inference(which)
        of_batches = [infer(framework.flatten(batch)) for batch in batches]
        outputs.append([np.concatenate(parts) for parts in zip(*of_batches, strict=True)])
    for name, dense, pruned in zip(framework.output_keys(model), *outputs, strict=True):
        if dense.dtype.kind != "f":
            continue
        agreement = None
        if dense.ndim > 1 and dense.shape[-1] > 1:
            agreement = float((dense.argmax(-1) == pruned.argmax(-1)).mean())
        yield OutputChange(name, change([dense], [pruned]), agreement)
