"""The power of a waveform, and what counts as silence."""

from __future__ import annotations

import numpy as np

# 120 dB below full scale: less than half of the last bit of 16 has no level to speak of.
SILENCE = 1e-12


def mean_power(waveform: np.ndarray) -> float:
    """Returns the mean of the squared samples, 0 where there are none."""
    if not len(waveform):
        return 0.0
    # Squares of small float32 numbers are 0.
    return float(np.mean(np.square(waveform, dtype=np.float64)))
