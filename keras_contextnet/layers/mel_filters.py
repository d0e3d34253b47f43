"""The mel filter bank of Slaney's Auditory Toolbox."""

from __future__ import annotations

import numpy as np

_LINEAR_HZ_PER_MEL = 200.0 / 3.0
_LOG_FROM_HZ = 1000.0
_LOG_FROM_MEL = _LOG_FROM_HZ / _LINEAR_HZ_PER_MEL
_LOG_STEP = np.log(6.4) / 27.0


def hertz_to_mel(hertz: np.ndarray) -> np.ndarray:
    """Slaney's mel scale: linear up to 1 kHz, logarithmic above."""
    hertz = np.asarray(hertz, np.float64)
    above = _LOG_FROM_MEL + np.log(np.maximum(hertz, _LOG_FROM_HZ) / _LOG_FROM_HZ) / _LOG_STEP
    return np.where(hertz < _LOG_FROM_HZ, hertz / _LINEAR_HZ_PER_MEL, above)


def mel_to_hertz(mel: np.ndarray) -> np.ndarray:
    """The inverse of `hertz_to_mel`."""
    mel = np.asarray(mel, np.float64)
    above = _LOG_FROM_HZ * np.exp(_LOG_STEP * (np.maximum(mel, _LOG_FROM_MEL) - _LOG_FROM_MEL))
    return np.where(mel < _LOG_FROM_MEL, mel * _LINEAR_HZ_PER_MEL, above)


def mel_filters(
    num_bands: int, fft_length: int, sample_rate: int, low_hz: float, high_hz: float
) -> np.ndarray:
    """Returns triangular filters of unit area in Hz, float32 (fft_length // 2 + 1, num_bands)."""
    bins = np.linspace(0.0, sample_rate / 2, fft_length // 2 + 1)[:, None]  # (bins, 1) Hz
    edges = mel_to_hertz(np.linspace(hertz_to_mel(low_hz), hertz_to_mel(high_hz), num_bands + 2))
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]  # (bands,) Hz each
    rising = (bins - low) / (centre - low)
    falling = (high - bins) / (high - centre)
    triangles = np.maximum(0.0, np.minimum(rising, falling))  # (bins, bands)
    return (triangles * (2.0 / (high - low))).astype(np.float32)
