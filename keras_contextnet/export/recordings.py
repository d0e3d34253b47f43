"""The audio that an export is calibrated on or compared on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from keras_contextnet.models import ContextNet


@dataclass(frozen=True)
class Recordings:
    """Waveforms (samples,) at the model's rate, and what is said in them where that is known."""

    waveforms: list[np.ndarray]
    texts: list[str] | None


def load_recordings(model: ContextNet, audio: Any, argument: str) -> Recordings:
    """Loads audio: a file, a waveform, an `Utterance`, or a list of them.

    Raises:
        ValueError: for an empty list, or a front end that does not tell its sample rate.
        AudioError: for a recording that cannot be read.
    """
    from keras_contextnet.data import Utterance
    from keras_contextnet.decoding.transcribe import is_list, load_recording

    items = list(audio) if is_list(audio) else [audio]
    if not items:
        raise ValueError(f"Expected `{argument}` to hold recordings. Received: an empty list")
    rate = getattr(model.frontend, "sample_rate", None)  # Hz
    if rate is None:
        raise ValueError(
            f"Expected a front end with a `sample_rate`, at which `{argument}` is read. Received: "
            f"{model.frontend!r}"
        )
    known = all(isinstance(item, Utterance) for item in items)
    texts = [item.text for item in items] if known else None
    files = [item.audio if isinstance(item, Utterance) else item for item in items]
    return Recordings([load_recording(model, file, rate) for file in files], texts)
