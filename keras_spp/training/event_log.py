"""TensorBoard's files of what pruning does, which need TensorFlow."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from keras_spp.util.messages import first_line

_SCALARS, _HISTOGRAMS = "spp/", "spp/p/"
_BINS = 20  # of a histogram


@dataclass
class Moment:
    """What was logged of one step.

    Attributes:
        step: The training step.
        scalars: Numbers by their names.
        counts: How many groups have a p in each of equal parts of [0, 1], shape (parts,).
    """

    step: int
    scalars: dict[str, float] = field(default_factory=dict)
    counts: np.ndarray = field(default_factory=lambda: np.zeros(_BINS))


class EventLog:
    """Scalars and histograms of p, step by step.

    Args:
        folder: Where to write.

    Raises:
        ImportError: If TensorFlow is not installed.
        OSError: If the folder cannot be written.
    """

    def __init__(self, folder: str) -> None:
        try:
            import tensorflow as tf
        except ImportError as error:
            raise ImportError(
                "`log_dir` needs TensorFlow, which writes TensorBoard's files: run "
                "`pip install tensorflow`, or give None."
            ) from error
        self._tf, self._folder = tf, folder
        try:
            self._writer: Any = tf.summary.create_file_writer(folder)
        except tf.errors.OpError as error:
            raise OSError(
                f"`log_dir` is {folder!r}, which cannot be written ({_reason(error)}): make room "
                f"there or choose another folder."
            ) from error

    def write(
        self,
        step: int,
        scalars: Mapping[str, float],
        histograms: Iterable[tuple[str, np.ndarray]],
    ) -> None:
        """Writes numbers of a step.

        Args:
            step: The training step.
            scalars: Numbers by their names.
            histograms: Names, and values in [0, 1].
        """
        self._if_possible(lambda: self._write(step, scalars, histograms))

    def close(self) -> None:
        """Ends the file."""
        if self._writer is not None:
            self._if_possible(self._writer.close)
            self._writer = None

    def _if_possible(self, write: Callable[[], None]) -> None:
        """Writes if that is possible: hours of training are worth more than their log."""
        if self._writer is None:
            return
        try:
            write()
        except self._tf.errors.OpError as error:
            self._writer = None
            warnings.warn(
                f"SPP logs no more: `log_dir` {self._folder!r} cannot be written "
                f"({_reason(error)}).",
                stacklevel=4,
            )

    def _write(
        self,
        step: int,
        scalars: Mapping[str, float],
        histograms: Iterable[tuple[str, np.ndarray]],
    ) -> None:
        with self._writer.as_default(step=step):
            for name, number in scalars.items():
                self._summary(_SCALARS + name, "scalars", number)
            for name, values in histograms:
                counts, edges = np.histogram(values, bins=_BINS, range=(0, 1))
                bars = np.stack([edges[:-1], edges[1:], counts], axis=-1)
                self._summary(_HISTOGRAMS + name, "histograms", bars)
        self._writer.flush()

    def _summary(self, tag: str, plugin: str, value: Any) -> None:
        # What tf.summary.scalar and tf.summary.histogram write; they need TensorBoard installed.
        tf = self._tf
        metadata = tf.compat.v1.SummaryMetadata(
            plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name=plugin)
        )
        tf.summary.write(
            tag,
            tf.constant(value, tf.float32 if np.ndim(value) == 0 else tf.float64),
            metadata=metadata,
        )


def _reason(error: Any) -> str:
    """Quotes the file system: TensorFlow puts the operation and the path before what it says."""
    said = error.message.partition(" [Op:")[0]
    return first_line(said.partition("; ")[2] or said)


def read_log(folder: str) -> list[Moment]:
    """Returns what callbacks have logged in a folder, in the order of the steps.

    Args:
        folder: What was given as `log_dir`. Where a run was resumed, the later log counts.

    Raises:
        ImportError: If TensorFlow is not installed.
        FileNotFoundError: If there is no such folder.
        ValueError: If nothing is logged there.
    """
    try:
        import tensorflow as tf
    except ImportError as error:
        raise ImportError(
            f"{folder!r} needs TensorFlow, which reads TensorBoard's files: run "
            f"`pip install tensorflow`."
        ) from error
    if not Path(folder).is_dir():
        raise FileNotFoundError(f"the folder {folder!r} does not exist.")
    moments: dict[int, Moment] = {}
    for file in sorted(Path(folder).glob("*.tfevents.*")):
        of_file: dict[int, Moment] = {}
        for event in _events(tf, file):
            for value in event.summary.value:
                if value.tag.startswith(_SCALARS):
                    moment = of_file.setdefault(event.step, Moment(event.step))
                    _add(moment, value.tag, tf.make_ndarray(value.tensor))
        begins = min(of_file, default=math.inf)
        moments = {step: known for step, known in moments.items() if step < begins} | of_file
    if not moments:
        raise ValueError(f"the folder {folder!r} holds no log of spp.SPPCallback(log_dir=...).")
    return [moments[step] for step in sorted(moments)]


def _events(tf: Any, file: Path) -> Iterator[Any]:
    """Yields the events of a file, whose end may be missing: a process that was killed wrote it."""
    try:
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
            yield tf.compat.v1.Event.FromString(record)
    except tf.errors.DataLossError:
        return


def _add(moment: Moment, tag: str, value: np.ndarray) -> None:
    if tag.startswith(_HISTOGRAMS):
        moment.counts = moment.counts + value[:, 2]
    elif value.ndim == 0:
        moment.scalars[tag.removeprefix(_SCALARS)] = float(value)
