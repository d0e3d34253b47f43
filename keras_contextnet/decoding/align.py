"""When each piece of a known text is said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from keras import ops

from keras_contextnet.decoding.transcribe import load_recording, require_tokenizer
from keras_contextnet.losses import joint_rnnt_alignment

if TYPE_CHECKING:
    from keras_contextnet.models import ContextNet


@dataclass(frozen=True)
class Alignment:
    """The pieces of a text with their times.

    Attributes:
        pieces: list of str, the tokenizer's pieces of the text.
        seconds: list of float, the start of the encoder frame at which each is emitted.
        log_prob: float, log-probability of this alignment. Far lower per piece than in other
            recordings, it shows that text and recording do not belong together.
    """

    pieces: list[str]
    seconds: list[float]
    log_prob: float


def align(model: ContextNet, audio: Any, text: str, sample_rate: int = 16000) -> Alignment:
    """Finds when each piece of a text is emitted, on the most probable path.

    Args:
        model: `ContextNet` with a tokenizer.
        audio: path of an audio file, or waveform (samples,) of floats in [-1, 1].
        text: str, what is said.
        sample_rate: int, Hz. Of a waveform; a file knows its own.

    Returns:
        `Alignment`. A transducer emits a piece once it has heard enough of it: times are late by
        what the encoder needs, commonly some tenths of a second.

    Raises:
        AudioError: for a recording that cannot be read, is too short, or holds NaN.
        ValueError: for a model without a tokenizer.

    Example:

    ```python
    import keras_contextnet as kc

    model = kc.ContextNet.from_preset("small", load_weights=False)
    alignment = model.align("examples/audio/2136-5147-0021.opus", "he had got")
    for piece, seconds in zip(alignment.pieces, alignment.seconds):
        print(f"{seconds:.2f} s {piece}")
    ```
    """
    require_tokenizer(model)
    waveform = load_recording(model, audio, sample_rate)
    tokens = np.array([model.tokenizer.encode(text)], "int32")  # (1, U)
    features, mask = model.extract_features(waveform[None])
    encoder_output = model.encoder(features, mask=mask, training=False)  # (1, T, channels)
    frames, log_prob = joint_rnnt_alignment(
        encoder_output,
        model.predictor(tokens),
        model.joiner,
        tokens,
        np.array([tokens.shape[1]]),
        np.array([encoder_output.shape[1]]),
        blank_id=model.blank_id,
    )
    frame_seconds = model.frontend.hop_seconds * model.encoder.time_reduction
    return Alignment(
        pieces=[model.tokenizer.pieces[token] for token in tokens[0]],
        seconds=[frame_seconds * frame for frame in ops.convert_to_numpy(frames)[0].tolist()],
        log_prob=float(log_prob[0]),
    )
