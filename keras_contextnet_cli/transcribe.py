"""keras-contextnet transcribe: audio files to text."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from keras_contextnet_cli.recognise import is_litert, recognise
from keras_contextnet_cli.session import BeamWidth, Recogniser, report, session


def transcribe(
    model: Recogniser,
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILES",
            help="Audio files: WAV, FLAC, Ogg (Vorbis, Opus) or MP3, of any rate and channels.",
            show_default=False,
        ),
    ],
    batch_size: Annotated[
        int, typer.Option(min=1, help="Files transcribed at once; more need more memory.")
    ] = 8,
    beam_width: BeamWidth = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help='A JSON object a line: "path", and "text" or, for a bad file, "error".'
        ),
    ] = False,
) -> None:
    """Print the text of audio files.

    One file gives its text; several give a line each: path, tab, text. A file that cannot be read
    is named on stderr, the others are printed all the same, and the exit code is 1.

    Example: keras-contextnet transcribe runs/my_model/preset interview.wav call.mp3
    """
    with session(keras=not is_litert(model)):
        texts, errors = recognise(model, files, batch_size, beam_width)
        for index, (path, text) in enumerate(zip(files, texts, strict=True)):
            if index in errors:
                report(f"Error: {path}: {errors[index]}")
                row = {"path": path, "error": str(errors[index])}
            else:
                row = {"path": path, "text": text}
            if as_json:
                typer.echo(json.dumps(row, ensure_ascii=False))
            elif index not in errors:
                typer.echo(text if len(files) == 1 else f"{path}\t{text}")
        if errors:
            raise typer.Exit(1)
