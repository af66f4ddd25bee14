"""What the commands have in common: options, reading, printing, and how errors are shown."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click

import keras_spp as spp
from keras_spp.util.files import check_apart

SAVED = (".keras", ".h5")
# Keys of the context, under which the options that commands share are kept.
_MODULES, _ALLOW_CODE = "keras_spp.modules", "keras_spp.allow_code"


class Commands(click.Group):
    """Commands whose errors and warnings are one sentence each."""

    def invoke(self, ctx: click.Context) -> Any:
        """Runs a command, and turns what goes wrong into one sentence."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"tensorflow|tf_keras|keras\.")
            warnings.showwarning = lambda message, *_: click.echo(f"Warning: {message}", err=True)
            try:
                return super().invoke(ctx)
            except BrokenPipeError:  # the reader of our output has left: click handles that
                raise
            except (ImportError, OSError, TypeError, ValueError) as error:
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


def loads_models(command: Callable) -> Callable:
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


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
device_option = click.option(
    "--device",
    default="local",
    show_default=True,
    help="local, ssh://[user@]host[:port][?python=PATH&config=FILE], android or android:SERIAL.",
)
threads_option = click.option("--threads", default=1, show_default=True, help="Of one invocation.")
PATH = click.Path(path_type=Path)


def load(path: Path) -> Any:
    """Loads a model, with the options that the command was given."""
    options = click.get_current_context().meta
    return spp.load_model(
        path,
        compile=False,
        allow_code=options.get(_ALLOW_CODE, False),
        modules=options.get(_MODULES, ()),
    )


def check_outputs(outputs: dict[str, Path | None], inputs: dict[str, Path | None]) -> None:
    """Raises ValueError if a file to write is one that is read, or two are the same."""
    for module in click.get_current_context().meta.get(_MODULES, ()):
        inputs[f"--import {module}"] = getattr(sys.modules.get(module), "__file__", None)
    for name, path in outputs.items():
        check_apart(name, path, inputs)
        inputs = {name: path, **inputs}


def _in_terminal() -> bool:
    return sys.stdout.isatty()


def show(result: Any, as_json: bool = False) -> None:
    """Prints a report: as JSON, or as a table as wide as the terminal."""
    if as_json:
        click.echo(json.dumps(result.to_dict(), indent=2))
    elif _in_terminal():
        from rich.console import Console

        Console().print(result)
    else:
        from keras_spp.util.report import as_text

        click.echo(as_text(result))


def _sizes(context: click.Context, option: click.Parameter, text: str | None) -> list[int] | None:
    try:
        return None if text is None else [int(size) for size in text.split(",")]
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is not a list such as 224,224,3.") from error


input_shape_option = click.option(
    "--input-shape",
    callback=_sizes,
    metavar="SIZES",
    help="Sizes of the input without the batch, such as 224,224,3, if MODEL leaves them open.",
)


def samples_in(path: Path | None, argument: str) -> Any:
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


def named_files(given: Sequence[str]) -> dict[str, str]:
    """Returns files by their names, given as NAME=FILE or named after the file.

    Raises:
        ValueError: If two have one name.
    """
    files: dict[str, str] = {}
    for file in given:
        name, equals, path = file.partition("=")
        if not equals or Path(file).exists():
            name, path = Path(file).stem, file
        if name in files:
            raise ValueError(f"two files have the name {name!r}: give NAME=FILE.")
        files[name] = path
    return files


@contextlib.contextmanager
def progress_bar() -> Iterator[Callable[[float], None] | None]:
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


@click.group(cls=Commands)
@click.version_option(spp.__version__, prog_name="keras-spp")
def main() -> None:
    """Structured Probabilistic Pruning (Wang et al., BMVC 2018) of saved Keras models.

    MODEL is a .keras or .h5 file of tf_keras or Keras 3, or a SavedModel folder of tf_keras. Set
    TF_CPP_MIN_LOG_LEVEL=3 to hide what TensorFlow itself logs.
    """
