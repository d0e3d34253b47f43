"""Text from audio with an exported file, NumPy and the LiteRT runtime."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np

from keras_contextnet.litert.audio_blocks import BLOCK_SECONDS, check_blocks, read_blocks
from keras_contextnet.litert.greedy import GreedyDecoder
from keras_contextnet.litert.model_file import LiteRTFileError, read_metadata
from keras_contextnet.litert.seams import decode_windows
from keras_contextnet.litert.transcript import WORD_START, Token, Transcript, make_transcript
from keras_contextnet.litert.windows import windows

OVERLAP_SECONDS = 6.0
PAUSE_SECONDS = 0.8  # to the nearest token on either side
SIGNATURES = ("transcribe", "encode", "predict", "join")


class Transcriber:
    """Transcribes audio with an exported `.tflite` file.

    It needs NumPy and ai-edge-litert, and neither Keras nor TensorFlow. Audio longer than a window
    is encoded in windows that overlap and decoded as one: memory does not grow with its length, and
    no word is cut where two windows meet. Threads may share a transcriber; they take turns.

    Args:
        path: a file that `ContextNet.export(path, format="litert")` wrote.
        num_threads: int. Threads of the runtime; None leaves it to the runtime.
        window_seconds: float, seconds, at least 12. What is encoded at once. Features and context
            are those of a window, so it is best near the length of what the model was trained on;
            memory and the delay of `stream` grow with it.

    Raises:
        LiteRTFileError: if the file is missing, cut off, damaged, another program's, or has no
            vocabulary.
        ImportError: if ai-edge-litert is not installed.

    Example:

    ```python
    import tempfile

    import keras_contextnet as kc

    model = kc.ContextNet.from_nemo("stt_en_contextnet_256.nemo")
    with tempfile.TemporaryDirectory() as folder:
        model.export(f"{folder}/asr.tflite", format="litert")

        transcriber = kc.litert.Transcriber(f"{folder}/asr.tflite")
        transcript = transcriber.transcribe("examples/audio/2136-5147-0021.opus")
        print(transcript.text)
        for word in transcript.words:
            print(f"{word.time:6.2f} s  {word.text}")
    ```
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        num_threads: int | None = None,
        window_seconds: float = 30.0,
    ) -> None:
        if num_threads is not None and not (isinstance(num_threads, int) and num_threads >= 1):
            raise ValueError(
                f"Expected `num_threads` to be None or at least 1. Received: {num_threads!r}"
            )
        if not window_seconds >= 2 * OVERLAP_SECONDS:
            raise ValueError(
                f"Expected `window_seconds` to be at least {2 * OVERLAP_SECONDS:g} seconds, twice "
                f"what windows overlap. Received: {window_seconds!r}"
            )
        self.metadata = read_metadata(path)
        self._pieces = _require_vocabulary(path, self.metadata)
        self._lock = threading.Lock()
        self._runners = _signature_runners(path, num_threads)
        self._decoder = GreedyDecoder(
            lambda **inputs: self._run("predict", **inputs),
            lambda **inputs: self._run("join", **inputs),
            self.metadata,
        )
        frame_seconds = self.metadata["frame_seconds"]
        self._frame = _frame_samples(self.metadata)
        self._window = round(window_seconds / frame_seconds)  # frames
        self._overlap = round(OVERLAP_SECONDS / frame_seconds)  # frames
        self._pause = round(PAUSE_SECONDS / frame_seconds)  # frames

    @property
    def sample_rate(self) -> int:
        """The model's rate, in Hz."""
        return self.metadata["sample_rate"]

    def transcribe(self, audio: Any, sample_rate: int | None = None) -> Transcript:
        """Returns the text of a recording, and the time of each token and word.

        Args:
            audio: path of an audio file, or a waveform (samples,) of floats in [-1, 1]. WAV files
                of integers are read without further packages, others by soundfile.
            sample_rate: int, Hz. Of a waveform, the model's by default; a file knows its own.
                Another rate than the model's takes soxr.

        Returns:
            A `Transcript`.

        Raises:
            AudioError: for a recording that cannot be read, is empty, has integers, more than one
                axis, NaN or infinity.
            ImportError: if reading it takes a package that is not installed.
        """
        if isinstance(audio, (str, os.PathLike)):
            blocks = read_blocks(audio, self.sample_rate)
        else:
            rate = self.sample_rate if sample_rate is None else sample_rate
            blocks = check_blocks(_slices(audio, rate), rate, self.sample_rate)
        return make_transcript(self._tokens(blocks), self._kind)

    def stream(self, blocks: Iterable[Any], sample_rate: int | None = None) -> Iterator[Token]:
        """Yields the tokens of audio that goes on, as from a microphone.

        A token comes once the window that it is in has been heard to its end.

        Args:
            blocks: waveforms (samples,) that follow one another, of floats in [-1, 1].
            sample_rate: int, Hz. Their rate, the model's by default.

        Yields:
            The tokens that `transcribe` gives for all blocks together.

        Raises:
            AudioError: for a block that is empty, has integers, more than one axis, NaN or
                infinity.
        """
        rate = self.sample_rate if sample_rate is None else sample_rate
        return self._tokens(check_blocks(blocks, rate, self.sample_rate))

    @property
    def _kind(self) -> str:
        return self.metadata.get("pieces") or _infer_kind(self._pieces)

    def _tokens(self, blocks: Iterable[np.ndarray]) -> Iterator[Token]:
        seconds = self._frame / self.sample_rate
        for token, frame in self._emissions(blocks):
            yield Token(token, self._pieces[token], frame * seconds)

    def _emissions(self, blocks: Iterable[np.ndarray]) -> Iterator[tuple[int, int]]:
        """Yields token ids and their frames."""
        cut = windows(blocks, self._window, self._overlap, self._frame)
        first = next(cut)
        if first.is_last:
            yield from self._transcribe(first.samples)
            return
        for emission in decode_windows(
            chain([first], cut),
            self._encode,
            self._decoder,
            length=self._window,
            overlap=self._overlap,
            pause=self._pause,
        ):
            yield emission.token, emission.frame

    def _transcribe(self, samples: np.ndarray) -> Iterator[tuple[int, int]]:
        if len(samples) == 0:
            return
        outputs = self._run("transcribe", **_as_batch(samples))
        count = outputs["token_length"][0]
        tokens, frames = outputs["tokens"][0, :count], outputs["token_frame"][0, :count]
        yield from zip(tokens.tolist(), frames.tolist(), strict=True)

    def _encode(self, samples: np.ndarray) -> np.ndarray:
        outputs = self._run("encode", **_as_batch(samples))
        return outputs["frames"][0, : outputs["frame_length"][0]]  # (T, units)

    def _run(self, signature: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        with self._lock:
            return self._runners[signature](**inputs)


def _as_batch(samples: np.ndarray) -> dict[str, np.ndarray]:
    return {"audio": samples[np.newaxis], "audio_length": np.array([len(samples)], "int32")}


def _slices(audio: Any, sample_rate: int) -> Iterator[Any]:
    """Yields a waveform in blocks, and what is none as it is."""
    audio = np.asarray(audio)
    if audio.ndim != 1 or audio.size == 0 or not sample_rate > 0:
        yield audio
        return
    step = max(1, int(BLOCK_SECONDS * sample_rate))
    for start in range(0, len(audio), step):
        yield audio[start : start + step]


def _require_vocabulary(path: str | os.PathLike[str], metadata: dict[str, Any]) -> list[str]:
    pieces, expected = metadata["tokens"], metadata["vocabulary_size"] - 1  # without the blank
    if pieces is None or len(pieces) != expected:
        received = "no tokens.txt" if pieces is None else f"a tokens.txt of {len(pieces)} lines"
        raise LiteRTFileError(
            f"Expected a .tflite file with a tokens.txt of {expected} pieces, which turns token "
            f"ids into text. Received: {path} with {received}. Export a model with a tokenizer."
        )
    return pieces


def _infer_kind(pieces: Sequence[str]) -> str:
    has_word_starts = any(piece.startswith(WORD_START) for piece in pieces)
    return "sentencepiece" if has_word_starts else "characters"


def _frame_samples(metadata: dict[str, Any]) -> int:
    """Returns the samples of one frame of the encoder: whole hops, each of whole samples."""
    hop_seconds = metadata.get("hop_seconds") or metadata["frame_seconds"]
    hops = round(metadata["frame_seconds"] / hop_seconds)
    return hops * round(hop_seconds * metadata["sample_rate"])


def _signature_runners(path: str | os.PathLike[str], num_threads: int | None) -> dict[str, Any]:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise ImportError(
            "Transcriber needs the LiteRT runtime: pip install ai-edge-litert"
        ) from error
    try:
        interpreter = Interpreter(os.fspath(path), num_threads=num_threads)
        missing = set(SIGNATURES) - set(interpreter.get_signature_list())
    except (ValueError, RuntimeError) as error:
        raise LiteRTFileError(
            f"Expected a .tflite file that the LiteRT runtime can read. Received: {path} "
            f"({error}). Copy or export it again, or update ai-edge-litert."
        ) from error
    if missing:
        raise LiteRTFileError(
            f"Expected a .tflite file with the signatures {', '.join(SIGNATURES)}. Received: "
            f"{path} without {', '.join(sorted(missing))}. Export the model again."
        )
    return {name: interpreter.get_signature_runner(name) for name in SIGNATURES}
