"""Faster and slower speech."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_contextnet.data.augmentation.arguments import checked_probability


class SpeedPerturbation:
    """Plays a waveform faster or slower, which changes its tempo and its pitch.

    The waveform is resampled, band-limited: at 1.1 times the speed, what was at 7.5 kHz would be at
    8.25 kHz, above half of a rate of 16 kHz, and is left out instead of folded back.

    Ko et al., "Audio Augmentation for Speech Recognition", Interspeech 2015, section 2.2.

    Args:
        factors: The speeds, each as likely as the others. 1.1 is faster, and shorter.
        probability: How often there is a change at all, in [0, 1].

    Raises:
        ValueError: If there are no factors, or one is not positive, or `probability` is none.

    Example:

    ```python
    import numpy as np
    from keras_contextnet.data.augmentation import SpeedPerturbation

    second = np.zeros(16000, "float32")
    slower = SpeedPerturbation(factors=(0.8,))(second, 16000, np.random.default_rng(0))
    assert slower.shape == (20000,)
    ```
    """

    def __init__(self, factors: Sequence[float] = (0.9, 1.0, 1.1), probability: float = 1.0):
        self.factors = tuple(factors)
        self.probability = checked_probability(probability)
        if not self.factors or not all(0.1 <= factor <= 10 for factor in self.factors):
            raise ValueError(
                "Expected factors to be speeds between 0.1 and 10, such as (0.9, 1.0, 1.1). "
                f"Received: factors={factors!r}."
            )

    def __call__(
        self, waveform: np.ndarray, sample_rate: int, generator: np.random.Generator
    ) -> np.ndarray:
        """Returns the waveform at one of the speeds.

        Args:
            waveform: The samples `(samples,)`, float32.
            sample_rate: Their rate, in Hz. The result has the same.
            generator: Where the random choices come from.

        Returns:
            `(samples / factor,)` float32, rounded; at least one sample where there was one.
        """
        if generator.random() >= self.probability:
            return waveform
        factor = self.factors[generator.integers(len(self.factors))]
        if factor == 1 or not len(waveform):
            return waveform
        import soxr

        # Samples that are taken `factor` times as fast, at the old rate again.
        changed = soxr.resample(waveform, factor, 1, quality="HQ")
        return changed if len(changed) else waveform[:1]
