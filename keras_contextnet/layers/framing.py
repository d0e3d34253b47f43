"""Cutting a waveform into overlapping windows, counting them, and their spectra."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from keras_contextnet.layers.masking import stride_length, stride_mask

FRAME_COUNTS = ("ceil", "floor", "floor_plus_one")


def frame_length(samples: Any, hop: int, frame_count: str) -> Any:
    """Returns how many frames `samples` give; ints, int tensors, or None for None."""
    if samples is None:
        return None
    if frame_count == "ceil":
        return stride_length(samples, hop)
    return samples // hop + (1 if frame_count == "floor_plus_one" else 0)


def frame_mask(mask: Any | None, hop: int, frame_count: str) -> Any | None:
    """Returns the mask of the frames (batch, frames) of a mask of samples (batch, samples)."""
    if mask is None or frame_count == "ceil":
        return stride_mask(mask, hop)
    if frame_count == "floor":
        return mask[:, hop - 1 :: hop]
    return ops.concatenate([mask[:, :1], mask], axis=1)[:, ::hop]


def reflect(x: Any, before: int, after: int) -> Any:
    """Continues a waveform (batch, samples) on both sides with its mirror image."""
    left = ops.flip(x[:, 1 : before + 1], axis=1)
    right = ops.flip(x[:, -after - 1 : -1], axis=1)
    return ops.concatenate([left, x, right], axis=1)


def cut_frames(x: Any, frames: Any, window: int, hop: int) -> Any:
    """Cuts windows that begin at every `hop`-th sample, with zeros where the waveform ends.

    Args:
        x: tensor (batch, samples).
        frames: int or int tensor. How many windows.
        window: int, samples. Length of a window.
        hop: int, samples. Distance between windows.

    Returns:
        A tensor (batch, frames, window).
    """
    # A window is cut out of whole hops that lie side by side: slices and one concatenation, which
    # every backend and LiteRT have, in place of a gather.
    hops_per_window = -(-window // hop)
    hops = frames + hops_per_window - 1
    x = ops.pad(x, ((0, 0), (0, hops_per_window * hop)))[:, : hops * hop]
    x = ops.reshape(x, (ops.shape(x)[0], hops, hop))
    windows = ops.concatenate([x[:, i : i + frames] for i in range(hops_per_window)], axis=-1)
    return windows[:, :, :window]  # (batch, frames, window) of (batch, frames, whole hops)


def power_spectrum(frames: Any, fft_length: int) -> Any:
    """Returns the power (batch, frames, fft_length // 2 + 1) of windows (batch, frames, window)."""
    window = frames.shape[-1]
    if fft_length & (fft_length - 1):
        # LiteRT transforms powers of two alone.
        angle = (
            2.0 * np.pi / fft_length * np.outer(np.arange(window), np.arange(fft_length // 2 + 1))
        )
        real = ops.matmul(frames, np.cos(angle).astype("float32"))
        imaginary = ops.matmul(frames, np.sin(angle).astype("float32"))
    else:
        # Left to the transform, no frames at all would be an error under TensorFlow.
        frames = ops.pad(frames, ((0, 0), (0, 0), (0, fft_length - window)))
        real, imaginary = ops.rfft(frames, fft_length=fft_length)
    return ops.square(real) + ops.square(imaginary)
