"""Convolution of a long waveform with a long response, block by block."""

from __future__ import annotations

import numpy as np


def convolve(waveform: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Returns the linear convolution, by overlap-add of fast Fourier transforms.

    Oppenheim and Schafer, "Discrete-Time Signal Processing", section 8.7.3.

    Args:
        waveform: `(samples,)`, float32, at least one sample.
        response: `(taps,)`, float32, at least one tap.

    Returns:
        `(samples + taps - 1,)`, float32.
    """
    samples, taps = len(waveform), len(response)
    # A power of two, at least twice the response, so that at most half of a block is overlap.
    size = 1 << max(13, (2 * taps - 1).bit_length())
    step = size - taps + 1
    blocks = -(-samples // step)
    padded = np.zeros(blocks * step, np.float32)
    padded[:samples] = waveform
    spectra = np.fft.rfft(padded.reshape(blocks, step), size)  # (blocks, size / 2 + 1)
    spectra *= np.fft.rfft(response, size)
    pieces = np.fft.irfft(spectra, size)  # (blocks, size)
    # A block's tail of taps - 1 samples lies over the beginning of the next block.
    summed = np.zeros((blocks + 1, step), np.float32)
    summed[:-1] = pieces[:, :step]
    summed[1:, : taps - 1] += pieces[:, step:]
    return summed.reshape(-1)[: samples + taps - 1]
