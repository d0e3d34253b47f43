"""The texts of audio files, by a model or by a file that one was exported to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from keras_contextnet_cli.session import load_model


def is_litert(model: str) -> bool:
    """Whether a MODEL argument names an exported file."""
    return model.endswith(".tflite")


def recognise(
    model: str, files: Sequence[str | Path], batch_size: int, beam_width: int | None
) -> tuple[list[str | None], dict[int, Exception]]:
    """Returns the text of each file, None where there is none, and why, by the file's index."""
    if is_litert(model):
        if beam_width is not None:
            raise ValueError(
                "Expected no --beam-width for a .tflite file, whose beam was chosen when it was "
                f"exported. Received: --beam-width {beam_width}. Export again with --beam-width."
            )
        return _by_litert(model, files)
    from keras_contextnet.decoding.transcribe import TranscriptionError

    try:
        return load_model(model, beam_width).transcribe(list(files), batch_size=batch_size), {}
    except TranscriptionError as error:
        return error.texts, error.errors


def _by_litert(
    model: str, files: Sequence[str | Path]
) -> tuple[list[str | None], dict[int, Exception]]:
    from keras_contextnet.litert import Transcriber

    transcriber = Transcriber(model)
    texts: list[str | None] = [None] * len(files)
    errors: dict[int, Exception] = {}
    for index, file in enumerate(files):
        try:
            texts[index] = transcriber.transcribe(file).text
        except (ValueError, OSError, TypeError) as error:
            errors[index] = error
    return texts, errors
