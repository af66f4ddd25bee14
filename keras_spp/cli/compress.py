"""The command that does it all: `keras-spp compress`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import keras_spp as spp
from keras_spp.cli.common import (
    PATH,
    SAVED,
    check_outputs,
    check_suffix,
    device_option,
    input_shape_option,
    json_option,
    load,
    loads_models,
    main,
    show,
    show_json,
    threads_option,
)
from keras_spp.cli.samples import Source, takes_samples
from keras_spp.export.options import IO_TYPES, QUANTIZATIONS
from keras_spp.util import progress
from keras_spp.util.files import atomic_path, temporary_folder

COMPRESSING, TIMING = 10.0, 1.0  # how long each takes, compared with the other


@main.command()
@click.argument("model", type=PATH)
@click.argument("out", type=PATH)
@takes_samples
@click.option("--speedup", type=float, help="MACs before over MACs after.  [default: 2]")
@click.option("--ratio", type=float, help="Instead: the share of channels that go.")
@click.option("--latency", metavar="SHARE|TIME", help="Instead: 0.5, or 12ms, on the device.")
@click.option(
    "--granularity", type=click.Choice(["channel", "column"]), default="channel", show_default=True
)
@click.option("--round-to", default=8, show_default=True, help="Channels that stay: multiples.")
@click.option("--seed", default=0, show_default=True)
@click.option("--epochs", default=20, show_default=True, help="Of fitting all weights at the end.")
@click.option("--tflite", type=PATH, metavar="OUT.tflite", help="Export the small model, too.")
@click.option(
    "--quantization",
    type=click.Choice(QUANTIZATIONS),
    default="none",
    show_default=True,
    help="How OUT.tflite stores numbers; the same samples serve for int8 and int16x8.",
)
@click.option(
    "--benchmark", "timed", is_flag=True, help="Time OUT.tflite beside MODEL, exported alike."
)
@input_shape_option
@device_option
@threads_option
@json_option
@loads_models
def compress(
    model: Path,
    out: Path,
    source: Source,
    speedup: float | None,
    ratio: float | None,
    latency: str | None,
    tflite: Path | None,
    quantization: str,
    timed: bool,
    device: str,
    threads: int,
    as_json: bool,
    **options: Any,
) -> None:
    """Prune MODEL to OUT without training, with some hundred samples.

    OUT ends in .keras or .h5. A table says what each layer lost, and how much the two models agree
    on samples that were held back.
    """
    check_suffix("OUT", out, *SAVED)
    if tflite is not None:
        check_suffix("OUT.tflite", tflite, ".tflite")
    elif timed or quantization != "none":
        raise ValueError("--quantization and --benchmark need --tflite OUT.tflite: give that too.")
    check_outputs({"OUT": out, "OUT.tflite": tflite}, {"MODEL": model, "--data": Path(source.data)})
    from keras_spp import frameworks

    where = spp.Device(device, threads)
    source.read()
    with progress.work("compress", COMPRESSING + TIMING * timed) as whole:
        with atomic_path(out) as temporary, whole.part(COMPRESSING):
            dense = load(model)
            framework = frameworks.of(dense)
            batches = source.batches(dense, options["samples"])
            small, report = spp.compress(
                dense,
                batches,
                speedup,
                pruning_ratio=ratio,
                target_latency=_latency(latency),
                device=where,
                verbose=0,
                return_report=True,
                **options,
            )
            framework.save(small, temporary)
        exported = timing = None
        if tflite is not None:
            exporting = {
                "quantization": quantization,
                "input_shape": options["input_shape"],
                "representative_data": batches if quantization in IO_TYPES else None,
                "device": where,
            }
            exported = spp.export_tflite(small, tflite, original=dense, **exporting)
        if timed:
            with temporary_folder() as folder, whole.part(TIMING):
                spp.export_tflite(dense, folder / "dense.tflite", **exporting)
                files = {"dense": folder / "dense.tflite", "small": tflite}
                timing = spp.benchmark(files, device=device, threads=threads)
    if as_json:
        parts = {"tflite": exported, "benchmark": timing}
        content = {name: part.to_dict() for name, part in parts.items() if part is not None}
        show_json(report.to_dict() | content)
        return
    show(report)
    if exported is not None:
        click.echo(str(exported))
    if timing is not None:
        show(timing)


def _latency(text: str | None) -> float | str | None:
    """Returns a share as a number, and a time as it is."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return text
