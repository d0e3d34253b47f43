"""The sound of rooms."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from keras_contextnet.data.augmentation.arguments import checked_probability, checked_range
from keras_contextnet.data.augmentation.convolution import convolve
from keras_contextnet.data.augmentation.power import SILENCE, mean_power
from keras_contextnet.data.augmentation.recordings import Recordings


class Reverberate:
    """Puts speech into a room: convolves it with a room impulse response.

    The response is one of `recordings`, or, without them, drawn from Polack's model of a room: the
    sound that comes straight, and after it noise that decays exponentially. What comes straight
    stays where it was in time, so that words keep their times, and the power stays what it was.

    J.-D. Polack, "La transmission de l'énergie sonore dans les salles", Université du Maine, 1988;
    Lebart et al., "A New Method Based on Spectral Subtraction for Speech Dereverberation", Acta
    Acustica 87, 2001.

    Args:
        probability: How often there is a room, in [0, 1].
        recordings: Audio files of impulse responses, or a folder of them. Their largest sample is
            taken for the sound that comes straight.
        decay: The shortest and the longest reverberation time of a simulated room, in seconds: what
            the sound takes to fall by 60 dB.
        direct_to_reverberant: The lowest and the highest ratio of the energy of what comes straight
            to all else, in dB, of a simulated room. A near microphone has a high one.

    Raises:
        ValueError: If there are no recordings in the folder, or an argument is out of range.
        AudioError: If a recording's header cannot be read, or, when called, the rest of it. The
            message names it.

    Example:

    ```python
    import numpy as np
    from keras_contextnet.data import load_audio
    from keras_contextnet.data.augmentation import Reverberate

    speech = load_audio("examples/audio/4640-19188-0038.opus")
    in_a_hall = Reverberate(decay=(0.8, 0.8))(speech, 16000, np.random.default_rng(0))
    assert in_a_hall.shape == speech.shape
    ```
    """

    def __init__(
        self,
        probability: float = 1.0,
        recordings: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
        decay: tuple[float, float] = (0.1, 0.6),
        direct_to_reverberant: tuple[float, float] = (0, 15),
    ):
        self.probability = checked_probability(probability)
        self.recordings = None if recordings is None else Recordings(recordings, CACHE_SECONDS)
        self.decay = checked_range("decay", decay, "seconds")
        self.direct_to_reverberant = checked_range(
            "direct_to_reverberant", direct_to_reverberant, "dB"
        )
        if not 0 < self.decay[0] <= self.decay[1] <= 10:
            raise ValueError(
                "Expected decay to be reverberation times above 0 s and up to 10 s. Received: "
                f"decay={decay!r}."
            )

    def __call__(
        self, waveform: np.ndarray, sample_rate: int, generator: np.random.Generator
    ) -> np.ndarray:
        """Returns the waveform as it sounds in a room.

        Args:
            waveform: The samples `(samples,)`, float32.
            sample_rate: Their rate, in Hz.
            generator: Where the random choices come from.

        Returns:
            `(samples,)` float32: what rings on after the end is cut off. Silence is returned as it
            is.
        """
        if generator.random() >= self.probability:
            return waveform
        if self.recordings is None:
            response = simulated_response(
                generator.uniform(*self.decay),
                generator.uniform(*self.direct_to_reverberant),
                sample_rate,
                generator,
            )
        else:
            response = self.recordings.draw(sample_rate, generator)
        power = mean_power(waveform)
        if power < SILENCE:
            return waveform
        direct = int(np.argmax(np.abs(response)))
        room = convolve(waveform, response)[direct : direct + len(waveform)]
        room_power = mean_power(room)
        if room_power < SILENCE:
            return waveform
        return room * np.float32(np.sqrt(power / room_power))


# Impulse responses are short: this is hundreds of them.
CACHE_SECONDS = 600.0


def simulated_response(
    decay: float, direct_to_reverberant: float, sample_rate: int, generator: np.random.Generator
) -> np.ndarray:
    """Draws the impulse response of a room from Polack's model.

    Args:
        decay: The reverberation time, in seconds.
        direct_to_reverberant: The ratio of the energy of the first sample to that of the others, in
            dB.
        sample_rate: The rate, in Hz.
        generator: Where the noise comes from.

    Returns:
        `(1 + decay * sample_rate,)`, float32: 1, and noise that falls by 60 dB to the end.
    """
    samples = max(1, round(decay * sample_rate))
    seconds = np.arange(1, samples + 1, dtype=np.float32) / sample_rate
    tail = generator.standard_normal(samples, dtype=np.float32)
    tail *= np.exp(np.float32(-3 * np.log(10) / decay) * seconds)
    energy = float(np.sum(np.square(tail)))
    tail *= np.float32(np.sqrt(10 ** (-direct_to_reverberant / 10) / max(energy, SILENCE)))
    return np.concatenate([np.ones(1, np.float32), tail])
