"""The command `keras-spp`: the functions of the package, on saved files.

Commands import what only they need, so that those that load no model start at once, without
TensorFlow.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

import keras_spp as spp
from keras_spp.devices import DELEGATES
from keras_spp.export.options import IO_TYPES, QUANTIZATIONS
from keras_spp.util.files import atomic_path, check_apart

_SAVED = (".keras", ".h5")
# Keys of the context, under which the options that commands share are kept.
_MODULES, _ALLOW_CODE = "keras_spp.modules", "keras_spp.allow_code"


class _Commands(click.Group):
    """Commands whose errors and warnings are one sentence each."""

    def invoke(self, ctx: click.Context) -> Any:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="tensorflow|tf_keras")
            warnings.showwarning = lambda message, *_: click.echo(f"Warning: {message}", err=True)
            try:
                return super().invoke(ctx)
            except BrokenPipeError:  # the reader of our output has left: click handles that
                raise
            except (OSError, TypeError, ValueError) as error:
                raise click.ClickException(_cause(error)) from error


def _cause(error: Exception) -> str:
    """Returns the first line of an error: tf_keras adds whole configurations and tracebacks."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:500]


def _allow_code(context: click.Context, option: click.Parameter, allowed: bool) -> None:
    context.meta[_ALLOW_CODE] = allowed


def _import(context: click.Context, option: click.Parameter, modules: tuple[str, ...]) -> None:
    """Imports the user's modules, from the working folder too, as `python -m` does."""
    if modules and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception as error:  # whatever the user's code raises
            raise click.ClickException(
                f"--import: the module {module!r} cannot be imported "
                f"({type(error).__name__}: {_cause(error)})."
            ) from error
    context.meta[_MODULES] = modules


def _loads_models(command: Callable) -> Callable:
    """Adds the options for models with custom layers or code."""
    imports = click.option(
        "--import",
        metavar="MODULE",
        multiple=True,
        expose_value=False,
        callback=_import,
        help="Import a Python module first, which registers the custom layers of the model.",
    )
    allow = click.option(
        "--allow-code",
        is_flag=True,
        expose_value=False,
        callback=_allow_code,
        help="Let code in the model's file run, such as Lambda layers: for files you trust.",
    )
    return imports(allow(command))


_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
_device = click.option(
    "--device",
    default="local",
    show_default=True,
    help="local, ssh://[user@]host[:port][?python=PATH&config=FILE], android or android:SERIAL.",
)
_threads = click.option("--threads", default=1, show_default=True, help="Of one invocation.")
_path = click.Path(path_type=Path)


def _load(path: Path) -> Any:
    options = click.get_current_context().meta
    return spp.load_model(
        path,
        compile=False,
        allow_code=options.get(_ALLOW_CODE, False),
        modules=options.get(_MODULES, ()),
    )


def _check_apart(outputs: dict[str, Path | None], inputs: dict[str, Path | None]) -> None:
    """Raises ValueError if a file to write is one that is read, or two are the same."""
    for module in click.get_current_context().meta.get(_MODULES, ()):
        inputs[f"--import {module}"] = getattr(sys.modules.get(module), "__file__", None)
    for name, path in outputs.items():
        check_apart(name, path, inputs)
        inputs = {name: path, **inputs}


def _in_terminal() -> bool:
    return sys.stdout.isatty()


def _print(result: Any, as_json: bool = False) -> None:
    if as_json:
        click.echo(json.dumps(result.to_dict(), indent=2))
    elif _in_terminal():
        from rich.console import Console

        Console().print(result)
    else:
        from keras_spp.util.report import as_text

        click.echo(as_text(result))


@click.group(cls=_Commands)
@click.version_option(spp.__version__, prog_name="keras-spp")
def main() -> None:
    """Structured Probabilistic Pruning (Wang et al., BMVC 2018) of saved tf_keras models.

    MODEL is a .keras or .h5 file or a SavedModel folder. Set TF_CPP_MIN_LOG_LEVEL=3 to hide what
    TensorFlow itself logs.
    """


def _sizes(context: click.Context, option: click.Parameter, text: str | None) -> list[int] | None:
    try:
        return None if text is None else [int(size) for size in text.split(",")]
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is not a list such as 224,224,3.") from error


_input_shape = click.option(
    "--input-shape",
    callback=_sizes,
    metavar="SIZES",
    help="Sizes of the input without the batch, such as 224,224,3, if MODEL leaves them open.",
)


@main.command()
@click.argument("model", type=_path)
@_input_shape
@_as_json
@_loads_models
def analyze(model: Path, input_shape: list[int] | None, as_json: bool) -> None:
    """List the layers of MODEL and what of them can be pruned."""
    _print(spp.analyze(_load(model), input_shape=input_shape), as_json)


@main.command()
@click.argument("pruned", type=_path)
@click.argument("small", type=_path)
@_loads_models
def shrink(pruned: Path, small: Path) -> None:
    """Remove from a model what is pruned in it.

    PRUNED is what spp.prune returned, trained and saved. The plain model is saved as SMALL, which
    ends in .keras or .h5.
    """
    if small.suffix not in _SAVED:
        raise ValueError(f"SMALL must end in {' or '.join(_SAVED)} but is {str(small)!r}.")
    _check_apart({"SMALL": small}, {"PRUNED": pruned})
    from keras_spp import frameworks
    from keras_spp.analysis.analysis import analyze_at
    from keras_spp.training.state import State

    model = _load(pruned)
    framework = frameworks.of(model)
    with atomic_path(small) as temporary:
        result = spp.shrink(model)
        framework.save(result, temporary)
    # At the sizes of inputs at which MACs were counted when it was pruned.
    sizes = framework.sizes_that_fit(model, State(model).conductor.input_sizes)
    _print(_comparison_table(analyze_at(sizes, model), analyze_at(sizes, result)))


def _comparison_table(before: spp.Analysis, after: spp.Analysis) -> Any:
    from rich.table import Table

    table = Table("")
    for title in ("before", "after", "ratio"):
        table.add_column(title, justify="right")
    for title, old, new in (
        ("MACs" if before.fixed_size else "MACs per position", before.macs, after.macs),
        ("params", before.params, after.params),
    ):
        table.add_row(title, f"{old:,}", f"{new:,}", f"{old / new:.2f}x" if new else "")
    return table


def _samples(path: Path | None, argument: str) -> Any:
    """Returns the batch in a .npy or .npz file: an array, or arrays by input and "labels"."""
    if path is None:
        return None
    if not path.exists():
        raise FileNotFoundError(f"{str(path)!r} does not exist.")
    import numpy as np

    try:
        content = np.load(path, allow_pickle=False)
        if isinstance(content, np.ndarray):
            return [content]
        with content:
            arrays = dict(content)
    except Exception as error:  # damaged files end in any kind of exception
        raise ValueError(
            f"`{argument}` must be a .npy or .npz file of numbers but {str(path)!r} cannot be read."
        ) from error
    labels = arrays.pop("labels", None)
    inputs = next(iter(arrays.values())) if len(arrays) == 1 else arrays
    return [inputs if labels is None else (inputs, labels)]


_types = click.Choice(sorted({kind for kinds in IO_TYPES.values() for kind in kinds}))


@main.command()
@click.argument("model", type=_path)
@click.argument("out", type=_path, metavar="OUT.tflite")
@click.option(
    "--quantization",
    type=click.Choice(QUANTIZATIONS),
    default="none",
    show_default=True,
    help="How numbers are stored. int8 and int16x8 need --representative-data.",
)
@click.option("--batch-size", default=1, show_default=True, help="Examples per invocation.")
@_input_shape
@click.option(
    "--representative-data",
    type=_path,
    metavar="FILE",
    help="Samples as MODEL takes them: a .npy array, or a .npz of one array for each input.",
)
@click.option("--input-type", type=_types, default="float32", show_default=True)
@click.option("--output-type", type=_types, default="float32", show_default=True)
@click.option(
    "--original", type=_path, metavar="MODEL", help="The model before pruning, for the metadata."
)
@click.option(
    "--pack/--no-pack",
    default=True,
    show_default=True,
    help="Leave out pruned columns where that is faster on the device.",
)
@_device
@_threads
@click.option("--cache", type=_path, metavar="FILE", help="Keeps what was timed there (JSON).")
@_loads_models
def export(
    model: Path,
    out: Path,
    representative_data: Path | None,
    original: Path | None,
    device: str,
    threads: int,
    cache: Path | None,
    **options: Any,
) -> None:
    """Convert MODEL to the TFLite file OUT.tflite."""
    inputs = {
        "MODEL": model,
        "`original`": original,
        "`representative_data`": representative_data,
    }
    _check_apart({"OUT.tflite": out, "`cache`": cache}, inputs)
    where = spp.Device(device, threads, cache=cache)
    data = _samples(representative_data, "representative_data")
    report = spp.export_tflite(
        _load(model),
        out,
        representative_data=data,
        original=None if original is None else _load(original),
        device=where,
        **options,
    )
    click.echo(str(report))


@main.command()
@click.argument("model", type=_path)
@click.argument("file", type=_path, metavar="FILE.tflite")
@click.argument("data", type=_path)
@_as_json
@_loads_models
def parity(model: Path, file: Path, data: Path, as_json: bool) -> None:
    """Compare the outputs of FILE.tflite with those of MODEL.

    DATA is a .npy array of samples, or a .npz file of one array for each input and, for top-1
    accuracy, one named "labels".
    """
    _print(spp.parity(_load(model), file, _samples(data, "data")), as_json)


@main.command()
@click.argument("file", type=_path, metavar="FILE.tflite")
def metadata(file: Path) -> None:
    """Print what an exported file says about itself, as JSON."""
    click.echo(json.dumps(spp.read_metadata(file), indent=2))


@main.command()
@click.argument("files", nargs=-1, required=True, metavar="[NAME=]FILE...")
@_device
@_threads
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
    type=_path,
    help="benchmark_model for Android, if the device has none in /data/local/tmp.",
)
@click.option(
    "--timeout", type=float, help="Seconds for all of it.  [default: 600; local: no limit]"
)
@click.option(
    "--retries", default=2, show_default=True, help="New attempts after a lost connection."
)
@_as_json
def benchmark(files: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Time TFLite files against each other, here or on another device.

    Speedups are relative to the first file.
    """
    models: dict[str, str] = {}
    for file in files:
        name, equals, path = file.partition("=")
        if not equals or Path(file).exists():
            name, path = Path(file).stem, file
        if name in models:
            raise ValueError(f"two files have the name {name!r}: give NAME=FILE.")
        models[name] = path
    with _progress_bar() as progress:
        report = spp.benchmark(models, progress=progress, **options)
    _print(report, as_json)


@contextlib.contextmanager
def _progress_bar() -> Iterator[Callable[[float], None] | None]:
    """Yields a function that moves a bar on stderr, so that stdout stays clean, or None."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    # No automatic refresh: a thread that draws would slow down what is timed.
    columns = TextColumn("timing"), BarColumn(), TaskProgressColumn()
    with Progress(*columns, console=console, auto_refresh=False, transient=True) as bar:
        task = bar.add_task("timing", total=1.0)
        yield lambda part: bar.update(task, completed=part, refresh=True)


if __name__ == "__main__":
    main()
