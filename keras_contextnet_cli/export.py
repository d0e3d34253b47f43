"""keras-contextnet export: a trained model to a file for phones or servers."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from keras_contextnet_cli.session import Model, load_model, session


class Format(str, Enum):
    """The formats of `ContextNet.export`."""

    litert = "litert"
    tf_saved_model = "tf_saved_model"


def export(
    model: Model,
    output: Annotated[
        Path,
        typer.Argument(
            metavar="OUTPUT",
            help="Where to: a .tflite file, or a folder for a SavedModel.",
            show_default=False,
        ),
    ],
    format: Annotated[
        Format | None,
        typer.Option(
            help="litert: one file of built-in LiteRT operators, with its vocabulary inside and in "
            "tokens.txt beside it. tf_saved_model: a folder for TensorFlow and TF Serving.",
            show_default="litert for a name that ends in .tflite, or tf_saved_model",
        ),
    ] = None,
) -> None:
    """Convert a model to LiteRT (TFLite) or a TensorFlow SavedModel.

    Both take waveforms (float32, mono) and their lengths in samples, and return token ids and
    their count, the same as the model itself.

    Example: keras-contextnet export runs/my_model/preset asr.tflite
    """
    if format is None:
        format = Format.litert if output.suffix == ".tflite" else Format.tf_saved_model
    with session():
        from rich.console import Console

        loaded = load_model(model)
        with Console(stderr=True).status(f"Converting {loaded.count_params():,} parameters"):
            loaded.export(output, format=format.value)
        files = output.rglob("*") if output.is_dir() else [output]
        size = sum(file.stat().st_size for file in files if file.is_file())
        typer.echo(f"{output} ({format.value}, {size / 1e6:.1f} MB)")
