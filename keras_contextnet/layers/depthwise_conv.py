"""Depthwise convolution over time: one filter a channel."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


def depthwise_conv(inputs: Any, kernel: Any, strides: int = 1, before: int = 0) -> Any:
    """Convolves each channel with its own filter.

    Output frame i looks at the input frames from i * strides - before on. What a framework calls
    "same" padding depends on the length once there are strides.

    Args:
        inputs: tensor (batch, time, channels).
        kernel: tensor (taps, channels).
        strides: int, frames. Distance between the frames that are computed.
        before: int, frames. Zeros before the first frame; `taps - 1 - before` follow the last.

    Returns:
        A tensor (batch, ceil(time / strides), channels).
    """
    taps, channels = kernel.shape
    after = taps - 1 - before
    symmetric = strides == 1 and before == after
    if not symmetric or keras.backend.backend() == "jax":
        inputs = ops.pad(inputs, ((0, 0), (before, after), (0, 0)))
    if keras.backend.backend() == "jax":
        return _shifted_sums(inputs, kernel, strides)
    # (taps, 1) over (batch, time, 1, channels) keeps channels contiguous for the CPU kernels, which
    # makes it faster than the (1, taps) form that a 1-D layer would use.
    outputs = ops.depthwise_conv(
        ops.expand_dims(inputs, 2),
        ops.reshape(kernel, (taps, 1, channels, 1)),
        strides=strides,
        # The same zeros without a padded copy of the input.
        padding="same" if symmetric else "valid",
    )
    return ops.squeeze(outputs, axis=2)


def _shifted_sums(inputs: Any, kernel: Any, strides: int) -> Any:
    """XLA fuses these multiply-adds; its grouped convolution on CPUs is several times slower."""
    taps = kernel.shape[0]
    span = inputs.shape[1] - taps + 1
    return sum(inputs[:, tap : tap + span : strides] * kernel[tap] for tap in range(taps))
