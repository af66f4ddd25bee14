"""The commands of one step each: analyze, shrink, export, parity, metadata, benchmark."""

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
    named_files,
    samples_in,
    show,
    show_json,
    threads_option,
)
from keras_spp.devices import DELEGATES
from keras_spp.export.options import IO_TYPES, QUANTIZATIONS
from keras_spp.util.files import atomic_path


@main.command()
@click.argument("model", type=PATH)
@input_shape_option
@json_option
@loads_models
def analyze(model: Path, input_shape: list[int] | None, as_json: bool) -> None:
    """List the layers of MODEL and what of them can be pruned."""
    show(spp.analyze(load(model), input_shape=input_shape), as_json)


@main.command()
@click.argument("pruned", type=PATH)
@click.argument("small", type=PATH)
@json_option
@loads_models
def shrink(pruned: Path, small: Path, as_json: bool) -> None:
    """Remove from a model what is pruned in it.

    PRUNED is what spp.prune returned, trained and saved. The plain model is saved as SMALL, which
    ends in .keras or .h5.
    """
    check_suffix("SMALL", small, *SAVED)
    check_outputs({"SMALL": small}, {"PRUNED": pruned})
    from keras_spp import frameworks
    from keras_spp.analysis.analysis import analyze_at
    from keras_spp.training.state import State

    model = load(pruned)
    framework = frameworks.of(model)
    with atomic_path(small) as temporary:
        result = spp.shrink(model)
        framework.save(result, temporary)
    # At the sizes of inputs at which MACs were counted when it was pruned.
    sizes = framework.sizes_that_fit(model, State(model).conductor.input_sizes)
    before, after = analyze_at(sizes, model), analyze_at(sizes, result)
    if as_json:
        content = {
            "macs" if before.fixed_size else "macs_per_position": [before.macs, after.macs],
            "params": [before.params, after.params],
        }
        show_json(content)
    else:
        show(_comparison_table(before, after))


def _comparison_table(before: spp.Analysis, after: spp.Analysis) -> Any:
    from keras_spp.util.report import Columns

    table = Columns()
    table.words("")
    table.numbers("before", "after", "ratio")
    for title, old, new in (
        ("MACs" if before.fixed_size else "MACs per position", before.macs, after.macs),
        ("params", before.params, after.params),
    ):
        table.row(title, f"{old:,}", f"{new:,}", f"{old / new:.2f}x" if new else "")
    return table


_types = click.Choice(sorted({kind for kinds in IO_TYPES.values() for kind in kinds}))


@main.command()
@click.argument("model", type=PATH)
@click.argument("out", type=PATH, metavar="OUT.tflite")
@click.option(
    "--quantization",
    type=click.Choice(QUANTIZATIONS),
    default="none",
    show_default=True,
    help="How numbers are stored. int8 and int16x8 need --representative-data.",
)
@click.option("--batch-size", default=1, show_default=True, help="Examples per invocation.")
@input_shape_option
@click.option(
    "--representative-data",
    type=PATH,
    metavar="FILE",
    help="Samples as MODEL takes them: a .npy array, or a .npz of one array for each input.",
)
@click.option("--input-type", type=_types, default="float32", show_default=True)
@click.option("--output-type", type=_types, default="float32", show_default=True)
@click.option(
    "--original", type=PATH, metavar="MODEL", help="The model before pruning, for the metadata."
)
@click.option(
    "--pack/--no-pack",
    default=True,
    show_default=True,
    help="Leave out pruned columns where that is faster on the device.",
)
@device_option
@threads_option
@click.option("--cache", type=PATH, metavar="FILE", help="Keeps what was timed there (JSON).")
@json_option
@loads_models
def export(
    model: Path,
    out: Path,
    representative_data: Path | None,
    original: Path | None,
    device: str,
    threads: int,
    cache: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Convert MODEL to the TFLite file OUT.tflite."""
    inputs = {
        "MODEL": model,
        "`original`": original,
        "`representative_data`": representative_data,
    }
    check_outputs({"OUT.tflite": out, "`cache`": cache}, inputs)
    check_suffix("OUT.tflite", out, ".tflite")
    where = spp.Device(device, threads, cache=cache)
    data = samples_in(representative_data, "representative_data")
    report = spp.export_tflite(
        load(model),
        out,
        representative_data=data,
        original=None if original is None else load(original),
        device=where,
        **options,
    )
    if as_json:
        show_json(report.to_dict())
    else:
        click.echo(str(report))


@main.command()
@click.argument("model", type=PATH)
@click.argument("file", type=PATH, metavar="FILE.tflite")
@click.argument("data", type=PATH)
@json_option
@loads_models
def parity(model: Path, file: Path, data: Path, as_json: bool) -> None:
    """Compare the outputs of FILE.tflite with those of MODEL.

    DATA is a .npy array of samples, or a .npz file of one array for each input and, for top-1
    accuracy, one named "labels".
    """
    show(spp.parity(load(model), file, samples_in(data, "data")), as_json)


@main.command()
@click.argument("file", type=PATH, metavar="FILE.tflite")
@click.option("--json", is_flag=True, expose_value=False, help="Always: there is no other form.")
def metadata(file: Path) -> None:
    """Print what an exported file says about itself, as JSON."""
    show_json(spp.read_metadata(file))


@main.command()
@click.argument("files", nargs=-1, required=True, metavar="[NAME=]FILE...")
@device_option
@threads_option
@click.option("--runs", default=50, show_default=True, help="Timed invocations of each file.")
@click.option("--warmup", default=5, show_default=True, help="Untimed invocations before that.")
@click.option(
    "--delegate",
    type=click.Choice(DELEGATES),
    default="xnnpack",
    show_default=True,
    help="What runs the operations; none: TFLite's own kernels; gpu, nnapi: Android only.",
)
@click.option(
    "--binary",
    type=PATH,
    help="benchmark_model for Android, if the device has none in /data/local/tmp.",
)
@click.option(
    "--timeout", type=float, help="Seconds for all of it.  [default: 600; local: no limit]"
)
@click.option(
    "--retries", default=2, show_default=True, help="New attempts after a lost connection."
)
@json_option
def benchmark(files: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Time TFLite files against each other, here or on a device.

    Speedups are relative to the first file.
    """
    show(spp.benchmark(named_files(files), **options), as_json)
