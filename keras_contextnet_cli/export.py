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


class Quantization(str, Enum):
    """How a LiteRT file keeps its weights."""

    float16 = "float16"


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
    quantization: Annotated[
        Quantization | None,
        typer.Option(
            help="For litert. float16: half the size, computed with in float32.",
            show_default="float32",
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
    options = {} if quantization is None else {"quantization": quantization.value}
    if options and format is not Format.litert:
        raise typer.BadParameter("is for --format litert.", param_hint="--quantization")
    with session():
        from rich.console import Console

        loaded = load_model(model)
        with Console(stderr=True).status(f"Converting {loaded.count_params():,} parameters"):
            loaded.export(output, format=format.value, **options)
        files = output.rglob("*") if output.is_dir() else [output]
        size = sum(file.stat().st_size for file in files if file.is_file())
        typer.echo(f"{output} ({format.value}, {size / 1e6:.1f} MB)")
