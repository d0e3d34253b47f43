"""Whisper's encoder, as CTranslate2 runs it on a CPU."""

from pathlib import Path

import numpy as np

SAMPLE_RATE = 16000  # Hz
FRAME = 1280  # samples: 80 ms, the frames of `small_en`
_WHISPER_FRAMES = 4  # of 20 ms in one of ours
_SILENCE = SAMPLE_RATE // 2  # samples after the end, as Whisper expects some
_LONGEST = 30 * SAMPLE_RATE - _SILENCE  # samples


class Whisper:
    """The encoder of a Whisper model.

    Args:
        folder: of the model in CTranslate2's format.

    Raises:
        ImportError: without faster-whisper.
        FileNotFoundError: if there is no model in the folder.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from ctranslate2.models import Whisper as Model
            from faster_whisper.feature_extractor import FeatureExtractor
        except ImportError as error:
            raise ImportError("Whisper needs faster-whisper: pip install faster-whisper") from error
        if not (folder / "model.bin").is_file():
            raise FileNotFoundError(
                "Expected --whisper to be the folder of a Whisper model in CTranslate2's format, "
                f"with a model.bin. Received: {folder}"
            )
        self._features = FeatureExtractor()
        self._model = Model(str(folder), device="cpu", compute_type="int8")

    def encode(self, waveform: np.ndarray) -> np.ndarray:
        """Returns what the encoder makes of a waveform, float16 (frames of 80 ms, channels).

        Args:
            waveform: (samples,) at 16 kHz, of up to 29.5 s.
        """
        from ctranslate2 import StorageView

        if not 0 < len(waveform) <= _LONGEST:
            raise ValueError(
                f"Expected a waveform of up to {_LONGEST / SAMPLE_RATE} s that is not empty. "
                f"Received: {len(waveform) / SAMPLE_RATE:.1f} s"
            )
        features = self._features(np.pad(waveform, (0, _SILENCE)))  # (bands, frames of 10 ms)
        even = features[None, :, : features.shape[1] // 2 * 2]
        encoded = self._model.encode(StorageView.from_array(np.ascontiguousarray(even)))
        encoded = np.asarray(encoded)[0]  # (frames of 20 ms, channels)
        frames = -(-len(waveform) // FRAME)
        whole = encoded[: _WHISPER_FRAMES * frames]
        return whole.reshape(frames, _WHISPER_FRAMES, -1).mean(axis=1).astype("float16")
