"""The commands that write pages: `keras-spp report` and `keras-spp tradeoff`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

import keras_spp as spp
from keras_spp.cli.common import (
    PATH,
    check_outputs,
    device_option,
    input_shape_option,
    json_option,
    load,
    loads_models,
    main,
    named_files,
    samples_in,
    show,
    show_json,
    threads_option,
)
from keras_spp.cli.samples import Source, takes_samples
from keras_spp.export.options import QUANTIZATIONS
from keras_spp.util import progress


@main.command()
@click.argument("dense", type=PATH)
@click.argument("small", type=PATH)
@click.argument("out", type=PATH, metavar="OUT.html")
@click.option(
    "--tflite",
    multiple=True,
    metavar="[NAME=]FILE",
    help='TFLite files: that of DENSE is called "dense", others are of SMALL. Timed here if there '
    "are both, unless --benchmark is given.",
)
@click.option(
    "--benchmark",
    "benchmarks",
    type=PATH,
    multiple=True,
    metavar="FILE.json",
    help="What `keras-spp benchmark --json` printed; several for several devices.",
)
@click.option(
    "--history",
    "histories",
    type=PATH,
    multiple=True,
    metavar="PATH",
    help="The log_dir of spp.SPPCallback, or a .json file of what fit returned (its `history`).",
)
@click.option(
    "--data",
    type=PATH,
    metavar="FILE",
    help='Samples to compare answers on: a .npy array, or a .npz with one named "labels".',
)
@click.option(
    "--tradeoff",
    "tradeoffs",
    type=PATH,
    metavar="FILE.json",
    help="What `keras-spp tradeoff --json` printed.",
)
@click.option("--title", help="Of the page.")
@input_shape_option
@json_option
@loads_models
def report(
    dense: Path,
    small: Path,
    out: Path,
    tflite: tuple[str, ...],
    benchmarks: tuple[Path, ...],
    histories: tuple[Path, ...],
    data: Path | None,
    tradeoffs: Path | None,
    title: str | None,
    input_shape: list[int] | None,
    as_json: bool,
) -> None:
    """Write a page about SMALL beside DENSE, which it was made from."""
    files = named_files(tflite)
    read = {"DENSE": dense, "SMALL": small, "--data": data, "--tradeoff": tradeoffs}
    read |= {f"--tflite {name}": Path(path) for name, path in files.items()}
    read |= {f"--benchmark {path}": path for path in benchmarks}
    check_outputs({"OUT.html": out}, read)
    from keras_spp.devices.benchmark import BenchmarkReport
    from keras_spp.reporting.costs import Tradeoff

    timed = [_json(path, BenchmarkReport.from_dict, "benchmark") for path in benchmarks]
    path = spp.report(
        load(dense),
        load(small),
        out,
        tflite=files or None,
        benchmark=timed or None,
        history=[path if path.is_dir() else _json(path, dict, "") for path in histories] or None,
        data=samples_in(data, "--data"),
        tradeoff=None if tradeoffs is None else _json(tradeoffs, Tradeoff.from_dict, "tradeoff"),
        input_shape=input_shape,
        title=title,
    )
    if as_json:
        show_json({"path": str(path)})
    else:
        click.echo(str(path))


def _json(path: Path, made: Any, command: str) -> Any:
    """Returns what a command printed as JSON, or a history that was saved so."""
    try:
        return made(json.loads(path.read_text(encoding="utf-8")))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"what `keras-spp {command} --json` printed" if command else "a dict, of epochs"
        raise ValueError(f"{str(path)!r} must be {what} but is not.") from error


@main.command()
@click.argument("model", type=PATH)
@takes_samples
@click.option(
    "--test-data",
    type=PATH,
    metavar="FILE",
    help='Samples to judge on, a .npy array, or a .npz with one named "labels".  '
    "[default: every fourth of --data]",
)
@click.option("--speedups", default="1.5,2,3,4", show_default=True, help="In MACs.")
@click.option("--out", type=PATH, metavar="OUT.html", help="Write a page with a chart, too.")
@click.option("--quantization", type=click.Choice(QUANTIZATIONS), default="none", show_default=True)
@click.option(
    "--granularity", type=click.Choice(["channel", "column"]), default="channel", show_default=True
)
@click.option("--round-to", default=8, show_default=True, help="Channels that stay: multiples.")
@click.option("--seed", default=0, show_default=True)
@click.option("--untimed", is_flag=True, help="Export and time nothing.")
@input_shape_option
@device_option
@threads_option
@json_option
@loads_models
def tradeoff(
    model: Path,
    source: Source,
    test_data: Path | None,
    speedups: str,
    out: Path | None,
    untimed: bool,
    device: str,
    threads: int,
    as_json: bool,
    **options: Any,
) -> None:
    """Say what speedups would cost MODEL in accuracy, and gain in time, without training.

    With labels in --data (a .npz file) the table says how many answers are right, else how many are
    the same.
    """
    read = {"MODEL": model, "--data": Path(source.data), "--test-data": test_data}
    check_outputs({"OUT.html": out}, read)
    source.read()
    dense = load(model)
    with progress.work("tradeoff", 1) as whole, whole.part():
        found = spp.tradeoff(
            dense,
            source.batches(dense, 4 * options["samples"] // 3),
            _numbers(speedups),
            test_data=samples_in(test_data, "--test-data"),
            device=None if untimed else spp.Device(device, threads),
            path=out,
            verbose=0,
            **options,
        )
    show(found, as_json)


def _numbers(text: str) -> list[float]:
    try:
        return [float(number) for number in text.split(",")]
    except ValueError as error:
        raise ValueError(f"--speedups {text!r} is not a list such as 1.5,2,3.") from error
