"""The command line: keras-contextnet presets | train | transcribe | evaluate | convert | export.

`--help`, `--version` and usage errors must not wait seconds for Keras and a backend: commands
import what they need when they run.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from keras_contextnet_cli.convert import convert
from keras_contextnet_cli.evaluate import evaluate
from keras_contextnet_cli.export import export
from keras_contextnet_cli.presets import presets
from keras_contextnet_cli.session import session
from keras_contextnet_cli.train import train
from keras_contextnet_cli.transcribe import transcribe

__all__ = ["app"]

app = typer.Typer(
    name="keras-contextnet",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (presets, train, transcribe, evaluate, convert, export):
    app.command()(command)


def _print_version(wanted: bool) -> None:
    if not wanted:
        return
    try:
        typer.echo(f"keras-contextnet {version('keras-contextnet')}")
    except PackageNotFoundError:  # a checkout that is not installed
        with session():
            from keras_contextnet import __version__

            typer.echo(f"keras-contextnet {__version__}")
    raise typer.Exit


@app.callback()
def keras_contextnet(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """ContextNet speech recognition: train, transcribe, evaluate, convert, export.

    Exit codes: 0 all went well, 1 something could not be done (the reason is on stderr), 2 the
    command was not understood.
    """
