"""Louder and softer speech."""

from __future__ import annotations

import numpy as np

from keras_contextnet.data.augmentation.arguments import checked_probability, checked_range


class RandomGain:
    """Makes a waveform louder or softer.

    `LogMelSpectrogram` normalises each utterance, and takes nearly all of this away: it is for
    front ends that do not.

    Args:
        decibels: The lowest and the highest gain, in dB.
        probability: How often there is a change at all, in [0, 1].

    Raises:
        ValueError: If an argument is out of range.

    Example:

    ```python
    import numpy as np
    from keras_contextnet.data.augmentation import RandomGain

    softer = RandomGain(decibels=(-20, -20))(np.ones(4, "float32"), 16000, np.random.default_rng(0))
    np.testing.assert_allclose(softer, 0.1)
    ```
    """

    def __init__(self, decibels: tuple[float, float] = (-10, 3), probability: float = 1.0):
        self.decibels = checked_range("decibels", decibels, "dB")
        self.probability = checked_probability(probability)

    def __call__(
        self, waveform: np.ndarray, sample_rate: int, generator: np.random.Generator
    ) -> np.ndarray:
        """Returns the waveform at another level.

        Args:
            waveform: The samples `(samples,)`, float32.
            sample_rate: Their rate, in Hz.
            generator: Where the random choices come from.

        Returns:
            `(samples,)` float32, not clipped.
        """
        if generator.random() >= self.probability:
            return waveform
        return waveform * np.float32(10 ** (generator.uniform(*self.decibels) / 20))
