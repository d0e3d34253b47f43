"""A kernel-1 convolution: every frame times one matrix."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


def pointwise_product(inputs: Any, kernel: Any, training: bool = False) -> Any:
    """Multiplies every frame by a matrix.

    Args:
        inputs: tensor (batch, time, channels).
        kernel: tensor (channels, filters).
        training: bool. Whether a gradient will be taken.

    Returns:
        A tensor (batch, time, filters).
    """
    if not (training and keras.backend.backend() == "tensorflow"):
        # One operator in LiteRT.
        return ops.einsum("btc,cf->btf", inputs, kernel)
    # TensorFlow's gradient of the product above is a matrix per utterance, then their sum.
    shape = ops.shape(inputs)
    frames = ops.reshape(inputs, (-1, shape[-1]))  # (batch * time, channels)
    return ops.reshape(ops.matmul(frames, kernel), (shape[0], shape[1], kernel.shape[-1]))
