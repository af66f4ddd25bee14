"""What the commands have in common: options, reading and printing."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

import keras_spp as spp
from keras_spp.cli.group import Commands, cause
from keras_spp.util.files import check_apart, check_writable

SAVED = (".keras", ".h5")
# Keys of the context, under which the options that commands share are kept.
_MODULES, _ALLOW_CODE = "keras_spp.modules", "keras_spp.allow_code"


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
                f"({type(error).__name__}: {cause(error)})."
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


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
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
    """Checks before any work that files can be written, and are no other ones.

    Raises:
        ValueError: If a file to write is one that is read, or two are the same.
        OSError: If it cannot be written.
    """
    for module in click.get_current_context().meta.get(_MODULES, ()):
        inputs[f"--import {module}"] = getattr(sys.modules.get(module), "__file__", None)
    for name, path in outputs.items():
        check_apart(name, path, inputs)
        if path is not None:
            check_writable(path)
        inputs = {name: path, **inputs}


def _in_terminal() -> bool:
    return sys.stdout.isatty()


def show(result: Any, as_json: bool = False) -> None:
    """Prints a report: as JSON, or as a table as wide as the terminal."""
    if as_json:
        show_json(result.to_dict())
    elif _in_terminal():
        from rich.console import Console

        Console().print(result)
    else:
        from keras_spp.util.report import as_text

        click.echo(as_text(result))


def show_json(content: dict[str, Any]) -> None:
    """Prints plain Python values."""
    click.echo(json.dumps(content, indent=2))


def check_suffix(name: str, path: Path, *suffixes: str) -> None:
    """Raises ValueError if a file to write would have the name of something else."""
    if path.suffix not in suffixes:
        raise ValueError(f"{name} must end in {' or '.join(suffixes)} but is {str(path)!r}.")


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


EXIT_CODES = """\b
Exit codes:
    0  done
    1  not possible: one line on stderr says why
    2  wrong usage: one line on stderr says what
  130  interrupted; files are written whole or not at all
"""


@click.group(cls=Commands, epilog=EXIT_CODES)
@click.version_option(spp.__version__, prog_name="keras-spp")
def main() -> None:
    """Structured Probabilistic Pruning (Wang et al., BMVC 2018) of saved Keras models.

    MODEL is a .keras or .h5 file of tf_keras or Keras 3, or a SavedModel folder of tf_keras.
    """
