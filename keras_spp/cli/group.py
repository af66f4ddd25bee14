"""How every command runs: what it shows on stderr, and how it ends."""

from __future__ import annotations

import sys
import warnings
from typing import Any

import click
from rich.console import Console

from keras_spp.cli.quiet import Stderr, others_held_back
from keras_spp.util import progress

# Keys of the context: where the process' stderr leads, and whether all is shown.
_STDERR, _VERBOSE = "keras_spp.stderr", "keras_spp.verbose"
_NOISY = r"tensorflow|tf_keras|keras\.|jax|absl"


class Interrupted(click.ClickException):
    """Somebody has pressed Ctrl-C."""

    exit_code = 130  # what shells give for it

    def __init__(self) -> None:
        super().__init__("interrupted.")


class Command(click.Command):
    """A command that shows its progress where somebody is looking."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.params.append(
            click.Option(
                ["--verbose"],
                is_flag=True,
                is_eager=True,  # modules that are imported for an option are to be heard, too
                expose_value=False,
                callback=_release,
                help="Show progress in logs, too, and what TensorFlow and others say.",
            )
        )

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command."""
        console = Console(file=ctx.meta[_STDERR].stream)
        with progress.shown_on(console), progress.shown(ctx.meta[_VERBOSE] or console.is_terminal):
            return super().invoke(ctx)


def _release(context: click.Context, option: click.Parameter, verbose: bool) -> None:
    context.meta[_VERBOSE] = verbose
    if verbose:
        context.meta[_STDERR].release()


class Commands(click.Group):
    """Commands whose errors and warnings are one sentence each."""

    command_class = Command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Shows the help if no command is given."""
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help())
            ctx.exit()
        return super().parse_args(ctx, args)

    def main(self, *args: Any, standalone_mode: bool = True, **options: Any) -> Any:
        """Runs the program, and ends it: see the exit codes in its help."""
        run: Any = super().main
        if not standalone_mode:
            return run(*args, standalone_mode=False, **options)
        try:
            code = run(*args, standalone_mode=False, **options)
        except click.UsageError as error:
            words = error.format_message().rstrip(".")
            help_of = f": see {error.ctx.command_path} --help" if error.ctx else ""
            click.echo(f"Error: {words}{help_of}.", err=True)
            code = error.exit_code
        except click.ClickException as error:
            error.show()
            code = error.exit_code
        except click.Abort:  # before a command has begun
            Interrupted().show()
            code = Interrupted.exit_code
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs a command, and turns what goes wrong into one sentence."""
        with others_held_back() as stderr, warnings.catch_warnings():
            ctx.meta[_STDERR] = stderr
            warnings.filterwarnings("ignore", module=_NOISY)
            warnings.showwarning = _warn(stderr)
            try:
                return super().invoke(ctx)
            except BrokenPipeError:  # the reader of our output has left: click handles that
                raise
            except KeyboardInterrupt:
                raise Interrupted from None
            except (ImportError, OSError, TypeError, ValueError) as error:
                raise click.ClickException(cause(error)) from error


def _warn(stderr: Stderr) -> Any:
    def show(message: Any, *_: Any) -> None:
        print(f"Warning: {message}", file=stderr.stream)

    return show


def cause(error: Exception) -> str:
    """Returns the first line of an error: tf_keras adds whole configurations and tracebacks."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:500]
