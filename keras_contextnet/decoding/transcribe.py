"""Transcription: audio files and waveforms to text."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from keras_contextnet.models import ContextNet

PROGRESS_FROM = 20  # recordings; a shorter list is done before a bar says anything


class TranscriptionError(ValueError):
    """Some items of a list could not be transcribed; the others were.

    Attributes:
        texts: list of str or None, one for each item; None for those that failed.
        errors: dict from the index of each failed item to its exception.
    """

    def __init__(self, texts: list[str | None], errors: dict[int, Exception]) -> None:
        listing = "\n".join(f"  item {index}: {error}" for index, error in errors.items())
        super().__init__(
            f"{len(errors)} of {len(texts)} items could not be transcribed; the texts of the "
            f"others are in this error's `texts`.\n{listing}"
        )
        self.texts = texts
        self.errors = errors


def transcribe(
    model: ContextNet,
    audio: Any,
    sample_rate: int = 16000,
    batch_size: int = 8,
    progress: bool | None = None,
) -> str | list[str]:
    """Transcribes a recording, or each recording of a list.

    Files of any rate and number of channels are resampled and averaged. The text of a recording
    does not depend on what else is in the list. At most `model.max_symbols_per_frame` tokens are
    emitted in one encoder frame.

    Args:
        model: `ContextNet` with a tokenizer.
        audio: path of an audio file, waveform (samples,) of floats in [-1, 1], or a list or tuple
            of paths and waveforms.
        sample_rate: int, Hz. Of waveforms; a file knows its own.
        batch_size: int. Recordings that are transcribed at once.
        progress: bool. Whether to show a progress bar; None shows one for lists of 20 and more.

    Returns:
        The text, or the list of texts in the order of the list.

    Raises:
        AudioError: for a recording that cannot be read, is too short, or holds NaN.
        TranscriptionError: where that happens in a list; it holds the other items' texts.
        ValueError: for a model without a tokenizer.

    Example:

    ```python
    import keras_contextnet as kc

    model = kc.ContextNet.from_preset("small", load_weights=False, max_symbols_per_frame=1)
    text = model.transcribe("examples/audio/2136-5147-0021.opus")
    ```
    """
    require_tokenizer(model)
    if not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"Expected `batch_size` to be at least 1. Received: {batch_size}")
    if not is_list(audio):
        return next(_transcribe_batch(model, [load_recording(model, audio, sample_rate)]))
    waveforms, errors = _load_list(model, audio, sample_rate)
    texts: list[str | None] = [None] * len(audio)
    batches = _batches_of_like_length(waveforms, batch_size)
    show = len(waveforms) >= PROGRESS_FROM if progress is None else progress
    for batch in _with_progress(batches, show):
        transcripts = _transcribe_batch(model, [waveforms[index] for index in batch])
        for index, text in zip(batch, transcripts, strict=True):
            texts[index] = text
    if errors:
        raise TranscriptionError(texts, errors)
    return texts


def is_list(audio: Any) -> bool:
    """Whether audio is a list of recordings; a list of numbers is a waveform."""
    if not isinstance(audio, (list, tuple)):
        return False
    return not audio or not isinstance(audio[0], (int, float, np.number))


def require_tokenizer(model: ContextNet) -> None:
    """Raises ValueError for a model without a tokenizer."""
    if model.tokenizer is None:
        raise ValueError(
            "Expected a model with a tokenizer, which turns token ids into text. Received: "
            "tokenizer=None. Build the model with one, or use `model.predict` for token ids."
        )


def load_recording(model: ContextNet, item: Any, sample_rate: int) -> np.ndarray:
    """Returns the waveform (samples,) of a file or waveform, at the model's rate."""
    from keras_contextnet.data.audio import AudioError, check_waveform, load_audio

    if isinstance(item, (str, os.PathLike)):
        waveform, source = load_audio(Path(item), model.frontend.sample_rate), str(item)
    else:
        waveform = check_waveform(item, sample_rate, model.frontend.sample_rate)
        source = "the waveform"
    if len(waveform) < model.frontend.window:
        raise AudioError(
            f"Expected audio of at least {1000 * model.frontend.window_seconds:.0f} ms, one "
            f"window of the front end. Received: {source} of "
            f"{1000 * len(waveform) / model.frontend.sample_rate:.1f} ms."
        )
    return waveform


def _load_list(
    model: ContextNet, items: Sequence[Any], sample_rate: int
) -> tuple[dict[int, np.ndarray], dict[int, Exception]]:
    waveforms, errors = {}, {}
    for index, item in enumerate(items):
        try:
            waveforms[index] = load_recording(model, item, sample_rate)
        except (ValueError, OSError, TypeError) as error:
            errors[index] = error
    return waveforms, errors


def _batches_of_like_length(waveforms: dict[int, np.ndarray], batch_size: int) -> list[list[int]]:
    """Longest first: little padding, and a batch that does not fit in memory fails at once."""
    order = sorted(waveforms, key=lambda index: -len(waveforms[index]))
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def _transcribe_batch(model: ContextNet, waveforms: list[np.ndarray]) -> Iterator[str]:
    if getattr(model.frontend, "depends_on_padding", False):
        features = [np.asarray(model.frontend(waveform[None])[0]) for waveform in waveforms]
        inputs = _padded("features", features)
    else:
        inputs = _padded("audio", waveforms)
    outputs = model.predict_on_batch(inputs)
    for tokens, count in zip(outputs["tokens"], outputs["token_length"], strict=True):
        yield model.tokenizer.decode(tokens[:count].tolist())


def _padded(kind: str, rows: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Model inputs of arrays whose first axis is time."""
    lengths = np.array([len(row) for row in rows], "int32")
    padded = np.zeros((len(rows), lengths.max(), *rows[0].shape[1:]), "float32")
    for place, row in zip(padded, rows, strict=True):
        place[: len(row)] = row
    return {kind: padded, f"{kind}_length": lengths}


def _with_progress(batches: list[list[int]], show: bool) -> Iterable[list[int]]:
    if not show:
        yield from batches
        return
    from rich.console import Console
    from rich.progress import Progress

    # On stderr, since the texts may be what goes to stdout.
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("Transcribing", total=sum(map(len, batches)))
        for batch in batches:
            yield batch
            progress.advance(task, len(batch))
