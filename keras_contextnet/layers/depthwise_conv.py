"""Depthwise convolution over time: one filter a channel."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


def depthwise_conv(inputs: Any, kernel: Any, strides: int = 1) -> Any:
    """Convolves each channel with its own filter, without padding.

    Args:
        inputs: tensor (batch, time, channels).
        kernel: tensor (taps, channels).
        strides: int, frames. Distance between the frames that are computed.

    Returns:
        A tensor (batch, (time - taps) // strides + 1, channels).
    """
    if keras.backend.backend() == "jax":
        return _shifted_sums(inputs, kernel, strides)
    taps, channels = kernel.shape
    # (taps, 1) over (batch, time, 1, channels) keeps channels contiguous for the CPU kernels, which
    # makes it faster than the (1, taps) form that a 1-D layer would use.
    outputs = ops.depthwise_conv(
        ops.expand_dims(inputs, 2),
        ops.reshape(kernel, (taps, 1, channels, 1)),
        strides=strides,
        padding="valid",
    )
    return ops.squeeze(outputs, axis=2)


def _shifted_sums(inputs: Any, kernel: Any, strides: int) -> Any:
    """XLA fuses these multiply-adds; its grouped convolution on CPUs is several times slower."""
    taps = kernel.shape[0]
    span = inputs.shape[1] - taps + 1
    return sum(inputs[:, tap : tap + span : strides] * kernel[tap] for tap in range(taps))
