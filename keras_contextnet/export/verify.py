"""Whether an exported file transcribes as its model does."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_contextnet.export.recordings import Recordings, load_recordings

if TYPE_CHECKING:
    from keras_contextnet.models import ContextNet


class ExportDifferenceError(ValueError):
    """An exported file transcribes otherwise than its model.

    Attributes:
        agreement: the `Agreement` that was found.
    """

    def __init__(self, message: str, agreement: Agreement) -> None:
        super().__init__(message)
        self.agreement = agreement


@dataclass(frozen=True)
class Agreement:
    """How a file's transcripts compare with its model's.

    Attributes:
        recordings: int, how many were transcribed.
        equal: int, how many got the same tokens.
        changed_words: float, the rate of words (tokens, for a model without a tokenizer) of the
            file that differ from the model's.
        model_word_errors: float, the model's word error rate, where the texts are known, or None.
        file_word_errors: float, the file's word error rate, or None.
    """

    recordings: int
    equal: int
    changed_words: float
    model_word_errors: float | None = None
    file_word_errors: float | None = None

    @property
    def change(self) -> float:
        """By how much the word error rate moved; unknown texts are taken to be the model's."""
        if self.model_word_errors is None or self.file_word_errors is None:
            return self.changed_words
        return abs(self.file_word_errors - self.model_word_errors)


def verify_litert(
    model: ContextNet,
    path: str | os.PathLike[str],
    audio: Any,
    quantization: str | None = None,
    on_difference: str = "error",
    word_error_limit: float = 0.02,
) -> Agreement:
    """Compares what a `.tflite` file and its model make of recordings, one at a time.

    Args:
        model: `ContextNet`.
        path: the file.
        audio: audio file, waveform, `Utterance`, or a list of them.
        quantization: as exported; what is in 8 bits may differ within `word_error_limit`.
        on_difference: "error" or "warn".
        word_error_limit: float.

    Returns:
        An `Agreement`.

    Raises:
        ExportDifferenceError: where they differ, unless `on_difference` is "warn".
        ImportError: where ai-edge-litert is not installed.
    """
    agreement = compare(model, path, load_recordings(model, audio, "audio"))
    judge(agreement, quantization, on_difference, word_error_limit)
    return agreement


def compare(model: ContextNet, path: str | os.PathLike[str], recordings: Recordings) -> Agreement:
    """Transcribes recordings with a model and with its file, and counts what differs."""
    run = _litert_function(path)
    pairs = [(_tokens(model.predict_on_batch, w), _tokens(run, w)) for w in recordings.waveforms]
    return _count(model, pairs, recordings.texts)


def _litert_function(path: str | os.PathLike[str]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise ImportError(
            "Expected ai-edge-litert, which `verify` runs the file with. Install it with: "
            'pip install "keras-contextnet[litert]"'
        ) from error
    transcribe = Interpreter(os.fspath(path)).get_signature_runner("transcribe")
    return lambda inputs: transcribe(**inputs)


def _tokens(run: Callable[[dict[str, Any]], dict[str, Any]], waveform: np.ndarray) -> list[int]:
    length = np.array([len(waveform)], np.int32)
    outputs = run({"audio": waveform[None], "audio_length": length})
    return outputs["tokens"][0][: outputs["token_length"][0]].tolist()


def _count(
    model: ContextNet, pairs: Sequence[tuple[list[int], list[int]]], texts: list[str] | None
) -> Agreement:
    from keras_contextnet.metrics import word_errors

    def read(tokens: list[int]) -> str:
        return " ".join(map(str, tokens)) if model.tokenizer is None else decode(tokens)

    decode = None if model.tokenizer is None else model.tokenizer.decode
    own, exported = ([read(tokens) for tokens in side] for side in zip(*pairs, strict=True))
    return Agreement(
        recordings=len(pairs),
        equal=sum(ours == theirs for ours, theirs in pairs),
        changed_words=word_errors(own, exported).rate,
        model_word_errors=texts and word_errors(texts, own).rate,
        file_word_errors=texts and word_errors(texts, exported).rate,
    )


def judge(
    agreement: Agreement, quantization: str | None, on_difference: str, word_error_limit: float
) -> None:
    """Raises or warns where a file differs from its model by more than it may."""
    different = agreement.recordings - agreement.equal
    if quantization in (None, "float16"):
        if not different:
            return
        message = (
            f"Expected the exported file to give the model's tokens. Received: {different} of "
            f"{agreement.recordings} recordings differ."
        )
    else:
        if agreement.change <= word_error_limit:
            return
        message = (
            f"Expected quantization to change at most {word_error_limit:.1%} of the words "
            f"(`word_error_limit`). Received: {agreement.change:.1%}; {different} of "
            f"{agreement.recordings} recordings differ. Leave sensitive layers in float with "
            "`keep_float`, or choose a milder `quantization`. A model without trained weights has "
            "nothing that survives rounding."
        )
    if on_difference == "error":
        raise ExportDifferenceError(message, agreement)
    warnings.warn(message, stacklevel=4)
