"""`spp.tradeoff`: what speedups cost and gain, before anybody trains for a day."""

from __future__ import annotations

import contextlib
import math
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_spp import frameworks
from keras_spp.analysis.analysis import analyze
from keras_spp.devices import device as latency
from keras_spp.devices.benchmark import BenchmarkReport, BenchmarkRow
from keras_spp.devices.device import Device
from keras_spp.export.elsewhere import kept_open
from keras_spp.export.options import IO_TYPES
from keras_spp.export.tflite import export_tflite
from keras_spp.frameworks.interface import Model
from keras_spp.pruning.compress import compress
from keras_spp.reporting.agreement import Agreement, agreement
from keras_spp.reporting.costs import Tradeoff, TradeoffRow
from keras_spp.reporting.extras import check_installed
from keras_spp.reporting.page import render_tradeoff
from keras_spp.reporting.samples import split
from keras_spp.util import progress
from keras_spp.util.checks import check_integer, check_number
from keras_spp.util.files import atomic_path, temporary_folder


def tradeoff(
    model: Model,
    data: Any,
    speedups: Sequence[float] = (1.5, 2, 3, 4),
    *,
    test_data: Any = None,
    device: str | Device | None = "local",
    quantization: str = "none",
    input_shape: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
    samples: int = 1024,
    seed: int = 0,
    path: str | os.PathLike[str] | None = None,
    verbose: int = 1,
    **options: Any,
) -> Tradeoff:
    """Says what speedups would cost in accuracy and gain in time, without training.

    The model is pruned to each speedup by `spp.compress`, judged on samples that had no part in
    that, exported, and timed beside itself. Training loses less than that: what is shown is the
    worst to expect, and where the model begins to break.

    Args:
        model: A trained functional or Sequential model of tf_keras or Keras 3.
        data: Samples as for `spp.parity`, with labels or without: batches, or one array. With
            labels the table says how many answers are right, else how many are the same.
        speedups: Dense MACs over remaining MACs, above 1 each.
        test_data: Samples to judge on, likewise; None: every fourth of `data` is held back.
        device: Where to time, as for `spp.benchmark`, or an `spp.Device`; None: nowhere.
        quantization: As for `spp.export_tflite`; the same samples serve for int8 and int16x8.
        input_shape: As for `spp.prune`.
        samples: How many samples of `data` make the small models, at most.
        seed: As for `spp.compress`.
        path: An HTML page to write, with a chart and the table; None for none.
        verbose: 0 shows nothing, 1 a progress bar and a closing table.
        **options: Others of `spp.compress`: `granularity`, `policy`, `allocation`, `round_to`,
            `counted`, `epochs`.

    Returns:
        A `Tradeoff`, which prints as a table, and which `spp.report` takes.

    Raises:
        TypeError: As `spp.compress` does.
        ValueError: Likewise, or if no speedup can be met.
        OSError: If the device cannot be reached, or `path` cannot be written.
        ImportError: If `path` is given and matplotlib or Jinja2 is missing.

    Example:
        >>> import numpy as np, tf_keras as keras, keras_spp as spp
        >>> model = keras.Sequential([
        ...     keras.Input((8, 8, 3)), keras.layers.Conv2D(32, 3, activation="relu"),
        ...     keras.layers.Conv2D(32, 3), keras.layers.Flatten(), keras.layers.Dense(4)])
        >>> images = np.random.default_rng(0).normal(size=(96, 8, 8, 3))
        >>> found = tradeoff(model, images, (1.5, 2), allocation=spp.Uniform(), verbose=0)
        >>> [row.target for row in found], found.measure
        ([1.0, 1.5, 2.0], 'the same answer')
    """
    frameworks.of(model)
    wanted = _checked(speedups)
    for name, number, least in (("samples", samples, 1), ("verbose", verbose, 0)):
        check_integer(name, number, least)
    where = None if device is None else latency.find(device)
    with contextlib.ExitStack() as stack:  # a path that cannot be written is reported at once
        page = None if path is None else stack.enter_context(atomic_path(path))
        if page is not None:
            check_installed()
        used, judged = split(model, data, int(samples), test_data)
        pruning = {"input_shape": input_shape, "samples": samples, "seed": seed, **options}
        whole = stack.enter_context(progress.work("tradeoff", len(wanted) + 1, verbose))
        models, unreachable = _compressed(model, used, wanted, whole, pruning)
        timed = None
        if where is not None:
            exporting = {"quantization": quantization, "input_shape": input_shape}
            with whole.part():
                timed = _time(models, where, used, exporting)
        rows, macs = [], analyze(model, input_shape=input_shape).macs
        for place, (speedup, small) in enumerate(models.items()):
            analysis = analyze(small, input_shape=input_shape)
            found = agreement(model, small, judged)
            timing = None if timed is None else timed[place]
            rows.append(_row(speedup, macs / max(analysis.macs, 1), analysis.params, found, timing))
        report = Tradeoff(
            model=model.name,
            samples=found.samples,
            device=None if where is None else where.name,
            system="" if timed is None else timed.system,
            quantization=quantization,
            entries=tuple(rows),
            unreachable=unreachable,
        )
        if page is not None:
            page.write_text(render_tradeoff(report), encoding="utf-8")
    if verbose:
        print(report)
    return report


def _compressed(
    model: Model,
    used: list[Any],
    wanted: list[float],
    whole: progress.Work,
    pruning: dict[str, Any],
) -> tuple[dict[float, Model], dict[float, str]]:
    """Returns the model and small ones by their speedups, and why others cannot be met."""
    models: dict[float, Model] = {1.0: model}
    unreachable: dict[float, str] = {}
    for speedup in wanted:
        try:
            with whole.part():
                models[speedup] = compress(model, used, speedup, verbose=0, **pruning)
        except ValueError as error:
            unreachable[speedup] = str(error)
    if len(models) == 1:
        raise ValueError(next(iter(unreachable.values())))
    return models, unreachable


def _time(
    models: dict[float, Model], where: Device, used: list[Any], exporting: dict[str, Any]
) -> BenchmarkReport:
    """Exports models and times the files side by side."""
    if exporting["quantization"] in IO_TYPES:
        exporting["representative_data"] = used
    with temporary_folder() as folder, kept_open():
        files = {
            f"{speedup:g}x": folder / f"{place}.tflite" for place, speedup in enumerate(models)
        }
        for model, file in zip(models.values(), files.values(), strict=True):
            export_tflite(model, file, **exporting)
        return where.time(files)


def _row(
    target: float, speedup: float, params: int, found: Agreement, timed: BenchmarkRow | None
) -> TradeoffRow:
    decided = found.decided
    return TradeoffRow(
        target=target,
        macs_speedup=speedup,
        params=params,
        right=None if decided is None else decided.small_top1,
        agreement=None if decided is None else decided.agreement,
        lost=found.outputs[0].lost,
        median_ms=None if timed is None else timed.median_ms,
        latency_speedup=None if timed is None else timed.ratio,
        file_bytes=None if timed is None else timed.file_bytes,
    )


def _checked(speedups: Any) -> list[float]:
    """Returns speedups in their order, each once."""
    wanted = list(speedups) if isinstance(speedups, list | tuple | np.ndarray) else [speedups]
    if not wanted:
        raise ValueError("`speedups` must hold at least one number but is empty.")
    for speedup in wanted:
        check_number(
            "speedups", speedup, math.nextafter(1, 2), sys.float_info.max, "numbers above 1"
        )
    return sorted({float(speedup) for speedup in wanted})
