"""Samples that commands take: of a file, a folder of images, or a dataset of tfds."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from keras_spp.cli.common import PATH, samples_in

PIXELS = ("0..255", "0..1", "-1..1", "imagenet")


@dataclass(frozen=True)
class Source:
    """Where samples come from, as the options say."""

    data: str
    data_dir: Path | None
    split: str
    pixels: str

    @functools.cached_property
    def _arrays(self) -> list[Any] | None:
        """What a file holds; None if they come from elsewhere."""
        path = Path(self.data)
        return samples_in(path, "--data") if path.suffix in (".npy", ".npz") else None

    def read(self) -> None:
        """Reads a file, if it is one: what is wrong with it is said before a model is loaded."""
        _ = self._arrays

    def batches(self, model: Any, samples: int) -> list[Any]:
        """Returns samples in batches: those of a file, or images as the model takes them."""
        from keras_spp import frameworks

        path, framework = Path(self.data), frameworks.of(model)
        if self._arrays is not None:
            return self._arrays
        if len(model.inputs) != 1 or len(model.inputs[0].shape) != 4:
            raise ValueError(
                f"--data {self.data!r} gives images but MODEL takes {len(model.inputs)} input(s) "
                f"of another kind: give a .npy or .npz file."
            )
        if path.is_dir():
            return framework.images_in(path, model, self.pixels, samples)
        return framework.dataset(self.data, self.data_dir, self.split, model, self.pixels, samples)


def takes_samples(command: Callable) -> Callable:
    """Adds the options for samples, which the command gets as `source` and `samples`."""

    @functools.wraps(command)
    def with_source(
        data: str, data_dir: Path | None, split: str, pixels: str, **options: Any
    ) -> Any:
        return command(source=Source(data, data_dir, split, pixels), **options)

    for option in reversed(_OPTIONS):
        option(with_source)
    return with_source


_OPTIONS = (
    click.option(
        "--data",
        required=True,
        metavar="SAMPLES",
        help="Samples, with or without labels: a .npy or .npz file, a folder of images, or the "
        "name of a tfds dataset, such as cifar10.",
    ),
    click.option("--data-dir", type=PATH, help="Where tfds finds the dataset, or puts it."),
    click.option("--split", default="train", show_default=True, help="Of the tfds dataset."),
    click.option(
        "--pixels",
        type=click.Choice(PIXELS),
        default="0..255",
        show_default=True,
        help="What MODEL takes pixels of images as; imagenet: 0..1, less the mean of ImageNet, "
        "over its deviation.",
    ),
    click.option("--samples", default=1024, show_default=True, help="How many to use, at most."),
)
