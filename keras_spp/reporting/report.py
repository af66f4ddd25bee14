"""`spp.report`: a dense and a small model in one page, for those who decide and those who check."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_spp.devices import benchmark as timing
from keras_spp.devices.benchmark import BenchmarkReport
from keras_spp.export.parity import ParityReport
from keras_spp.export.parity import parity as compared
from keras_spp.frameworks.interface import Model
from keras_spp.reporting import history as trainings
from keras_spp.reporting.agreement import agreement
from keras_spp.reporting.comparison import compare
from keras_spp.reporting.costs import Tradeoff
from keras_spp.reporting.extras import check_installed
from keras_spp.reporting.facts import Facts, file
from keras_spp.reporting.page import render
from keras_spp.util.files import atomic_path, check_apart

_Path = str | os.PathLike[str]
_PARITY_SAMPLES = 256


def report(
    dense: Model,
    small: Model,
    path: _Path,
    *,
    tflite: Mapping[str, _Path] | None = None,
    benchmark: BenchmarkReport | Sequence[BenchmarkReport] | None = None,
    history: Any = None,
    data: Any = None,
    parity: ParityReport | Sequence[ParityReport] | None = None,
    tradeoff: Tradeoff | None = None,
    input_shape: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
    title: str | None = None,
) -> Path:
    """Writes a page about a small model beside the dense one that it was made from.

    The page is one HTML file that needs no network and runs no code: a sentence and a few numbers
    first, then what became of each layer and why some could not be pruned, times, files, answers,
    and the training. It suits screens and phones, light and dark, and can be printed.

    Args:
        dense: The model before pruning, of tf_keras or Keras 3.
        small: What `spp.shrink` or `spp.compress` made of it, trained further or not.
        path: The HTML file to write.
        tflite: TFLite files by name: "dense" is the dense model's, all others are the small one's,
            such as {"dense": ..., "small": ..., "small int8": ...}.
        benchmark: What `spp.benchmark` returned for such files, the dense model's first; several
            for several devices. None: if `tflite` has files of both models they are timed here.
        history: How the small model was trained: what `fit` returned, the `log_dir` of
            `spp.SPPCallback` for probabilities over time, or both in a list.
        data: Samples to compare the answers on, as for `spp.parity`: with labels, how many are
            right, without, how many are the same.
        parity: What `spp.parity` returned, for one file or several. None: the small model's first
            file is compared on the first samples of `data`, if there are both.
        tradeoff: What `spp.tradeoff` returned, to show what other speedups would cost.
        input_shape: As for `spp.analyze`.
        title: The title; None for one with the model's name.

    Returns:
        The path.

    Raises:
        TypeError: If an argument has another type.
        ValueError: If `small` cannot have been made from `dense`, one of them is still being
            pruned, or an argument does not fit them.
        OSError: If a file cannot be read, or the page cannot be written.
        ImportError: If matplotlib or Jinja2 is missing (`pip install 'keras-spp[report]'`).

    Example:
        >>> import os, tempfile
        >>> import numpy as np
        >>> import tf_keras as keras, keras_spp as spp
        >>> model = keras.Sequential([
        ...     keras.Input((8, 8, 3)), keras.layers.Conv2D(16, 3, activation="relu"),
        ...     keras.layers.Conv2D(16, 3), keras.layers.Flatten(), keras.layers.Dense(4)])
        >>> images = np.random.default_rng(0).normal(size=(64, 8, 8, 3))
        >>> small = spp.compress(model, images, verbose=0)
        >>> path = os.path.join(tempfile.mkdtemp(), "report.html")
        >>> report(model, small, path, data=images).name
        'report.html'
    """
    files = _files(tflite)
    check_apart("`path`", path, {f"`tflite` {name!r}": place for name, place in files.items()})
    check_installed()
    times = _reports("benchmark", benchmark, BenchmarkReport)
    parities = _reports("parity", parity, ParityReport)
    if tradeoff is not None and not isinstance(tradeoff, Tradeoff):
        raise TypeError(
            f"`tradeoff` must be what spp.tradeoff returned but is {type(tradeoff).__name__}."
        )
    training = trainings.read(history)
    comparison = compare(dense, small, input_shape)
    known = tuple(file(name, place) for name, place in files.items())
    data = list(data) if isinstance(data, Iterator) else data  # it is gone through twice
    with atomic_path(path) as temporary:
        answers = None if data is None else agreement(dense, small, data)
        of_small = [each.path for each in known if not each.is_dense]
        if parity is None and of_small and data is not None:
            parities = (compared(small, of_small[0], data, samples=_PARITY_SAMPLES),)
        if benchmark is None and of_small and len(of_small) < len(known):
            times = (timing.benchmark(_dense_first(files)),)
        title = f"{dense.name}: what pruning made of it" if title is None else str(title)
        facts = Facts(title, comparison, known, times, training, answers, parities, tradeoff)
        page = render(facts)
        temporary.write_text(page, encoding="utf-8")
    return Path(path)


def _files(tflite: Any) -> dict[str, Path]:
    if tflite is None:
        return {}
    if not isinstance(tflite, Mapping):
        raise TypeError(
            f"`tflite` must be a dict from name to path, such as {{'dense': ..., 'small': ...}}, "
            f"but is {tflite!r}."
        )
    for name, path in tflite.items():
        if not isinstance(path, str | os.PathLike):
            raise TypeError(f"`tflite` must hold paths of .tflite files but holds {path!r}.")
        if not Path(path).is_file():
            raise FileNotFoundError(
                f"`tflite` has {os.fspath(path)!r} for {name!r}, which is no file: export the "
                f"model first."
            )
    return _dense_first({str(name): Path(path) for name, path in tflite.items()})


def _dense_first(files: Mapping[str, Path]) -> dict[str, Path]:
    return dict(sorted(files.items(), key=lambda item: item[0] != "dense"))


def _reports(argument: str, given: Any, kind: type) -> tuple[Any, ...]:
    """Returns reports of a kind, of which one or several were given."""
    if given is None:
        return ()
    reports = (given,) if isinstance(given, kind) else given
    if not isinstance(reports, list | tuple) or not all(isinstance(x, kind) for x in reports):
        raise TypeError(
            f"`{argument}` must be what spp.{argument} returned, or a list of that, but is "
            f"{type(given).__name__}."
        )
    return tuple(reports)
