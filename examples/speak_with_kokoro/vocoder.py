"""From the magnitudes of a spectrogram to a waveform."""

import numpy as np

SAMPLE_RATE = 16000
HOP = 160
FFT_LENGTH = 512
BINS = FFT_LENGTH // 2 + 1
# 25 ms, in the middle of the transform's 32.
WINDOW = np.pad(np.hanning(401)[:400], 56).astype(np.float32)


def frames_of(waveform: np.ndarray, count: int) -> np.ndarray:
    """Returns the spectrum (count, bins) of a waveform (samples,), which is long enough."""
    frames = np.lib.stride_tricks.sliding_window_view(waveform, FFT_LENGTH)[::HOP][:count]
    return np.fft.rfft(frames * WINDOW, axis=1).astype(np.complex64)


def centred_frames_of(waveform: np.ndarray) -> np.ndarray:
    """Returns the spectrum whose frame i has sample i * hop in its middle."""
    padded = np.pad(waveform, FFT_LENGTH // 2)
    return frames_of(padded, 1 + len(waveform) // HOP)


def overlap_add(frames: np.ndarray) -> np.ndarray:
    """Adds frames (count, fft_length), each a hop after the one before."""
    hops = -(-FFT_LENGTH // HOP)
    padded = np.pad(frames, ((0, 0), (0, hops * HOP - FFT_LENGTH)))
    parts = padded.reshape(len(frames), hops, HOP)
    total = np.zeros((len(frames) + hops - 1, HOP), np.float32)
    for hop in range(hops):
        total[hop : hop + len(frames)] += parts[:, hop]
    return total.reshape(-1)


def waveform_of(spectrum: np.ndarray) -> np.ndarray:
    """Returns the waveform whose spectrum comes nearest to one (count, bins)."""
    weight = overlap_add(np.tile(WINDOW**2, (len(spectrum), 1)))
    frames = np.fft.irfft(spectrum, axis=1).astype(np.float32) * WINDOW
    return overlap_add(frames) / np.maximum(weight, 1e-3)


def excitation(pitch: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Returns what vocal folds do: a pulse a period, and noise; `pitch` (count,) is in Hz."""
    hertz = np.pad(np.repeat(np.maximum(pitch, 0.0), HOP), (0, FFT_LENGTH))
    pulse = np.diff(np.floor(np.cumsum(hertz / SAMPLE_RATE)), prepend=0.0)
    return (pulse + 0.03 * generator.standard_normal(len(hertz))).astype(np.float32)


def vocode(
    magnitude: np.ndarray, pitch: np.ndarray, generator: np.random.Generator, rounds: int = 8
) -> np.ndarray:
    """Finds a waveform of given magnitudes, from the phases of an excitation.

    Args:
        magnitude: array (count, bins), of centred frames.
        pitch: array (count,), Hz, 0 where there is no voice.
        generator: of the noise.
        rounds: how often phases are made consistent.

    Returns:
        A waveform ((count - 1) * hop,).

    Source: Perraudin et al. 2013, "A fast Griffin-Lim algorithm", algorithm 2.
    """
    count = len(magnitude)
    spectrum = frames_of(excitation(pitch, generator), count)
    before = None
    for _ in range(rounds):
        spectrum = magnitude * spectrum / np.maximum(np.abs(spectrum), 1e-8)
        consistent = frames_of(waveform_of(spectrum), count)
        step = 0.0 if before is None else 0.7 * (consistent - before)
        spectrum, before = consistent + step, consistent
    spectrum = magnitude * spectrum / np.maximum(np.abs(spectrum), 1e-8)
    start = FFT_LENGTH // 2
    return waveform_of(spectrum)[start : start + HOP * (count - 1)]
