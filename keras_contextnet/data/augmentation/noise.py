"""Noise of recordings, at a chosen level below the speech."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from keras_contextnet.data.augmentation.arguments import checked_probability, checked_range
from keras_contextnet.data.augmentation.power import SILENCE, mean_power
from keras_contextnet.data.augmentation.recordings import Recordings


class AddNoise:
    """Adds a section of a recording of noise, music or other voices.

    A recording begins at a random place, and begins again where it ends before the speech does. It
    is scaled to a random signal-to-noise ratio, that of the whole waveform's mean power to the
    noise's.

    Args:
        recordings: Audio files, or a folder that is searched for them, subfolders too.
        snr: The lowest and the highest signal-to-noise ratio, in dB.
        probability: How often noise is added, in [0, 1].
        cache_seconds: How much decoded noise is kept in memory, in seconds: an hour at 16 kHz takes
            230 MB. The recordings that were not used for longest are read again when needed; one
            that is longer than this is read each time, so cut such recordings first.

    Raises:
        ValueError: If there are no recordings, or an argument is out of range.
        AudioError: If a recording's header cannot be read, or, when called, the rest of it. The
            message names it.

    Example:

    ```python
    import numpy as np
    from keras_contextnet.data import load_audio
    from keras_contextnet.data.augmentation import AddNoise

    speech = load_audio("examples/audio/4640-19188-0038.opus")
    babble = AddNoise("examples/audio", snr=(5, 25))
    noisy = babble(speech, 16000, np.random.default_rng(0))
    assert noisy.shape == speech.shape
    ```
    """

    def __init__(
        self,
        recordings: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        snr: tuple[float, float] = (5, 25),
        probability: float = 1.0,
        cache_seconds: float = 3600,
    ):
        self.recordings = Recordings(recordings, cache_seconds)
        self.snr = checked_range("snr", snr, "dB")
        self.probability = checked_probability(probability)

    def __call__(
        self, waveform: np.ndarray, sample_rate: int, generator: np.random.Generator
    ) -> np.ndarray:
        """Returns the waveform with noise.

        Args:
            waveform: The samples `(samples,)`, float32.
            sample_rate: Their rate, in Hz.
            generator: Where the random choices come from.

        Returns:
            `(samples,)` float32, not clipped. Silence (less than 120 dB below full scale) and the
            noise of a silent section have no ratio: then the waveform is returned as it is.
        """
        if generator.random() >= self.probability:
            return waveform
        recording = self.recordings.draw(sample_rate, generator)
        start = generator.integers(len(recording))
        ratio = 10 ** (generator.uniform(*self.snr) / 10)
        noise = _section(recording, start, len(waveform))
        speech_power, noise_power = mean_power(waveform), mean_power(noise)
        if min(speech_power, noise_power) < SILENCE:
            return waveform
        scale = np.sqrt(speech_power / (noise_power * ratio))
        return waveform + np.float32(scale) * noise


def _section(recording: np.ndarray, start: int, samples: int) -> np.ndarray:
    """Returns samples from `start` on, from the beginning again after the end."""
    if start + samples <= len(recording):
        return recording[start : start + samples]
    return np.resize(np.concatenate([recording[start:], recording[:start]]), samples)
