"""A kernel-1 convolution: every frame times one matrix."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

_dtype_of_products: str | None = None


def set_product_dtype(dtype: str | None) -> None:
    """Sets what training multiplies in, in all convolutions of kernel size 1.

    CPUs that have instructions for bfloat16 multiply matrices several times faster in it, whereas
    TensorFlow's elementwise kernels are slower in it than in float32, so that a policy of
    "mixed_bfloat16" loses more there than it gains. With this alone, sums are still taken in
    float32, and rounded once. Inference, and with it every exported file, is not touched. Like
    `keras.config`'s settings it holds for the process, and for what is compiled from then on.

    Args:
        dtype: "bfloat16", or None for the dtype of each layer.

    Raises:
        ValueError: for another dtype.

    Example:

    ```python
    from keras_contextnet.layers import set_product_dtype

    set_product_dtype("bfloat16")
    ...  # train
    set_product_dtype(None)
    ```
    """
    global _dtype_of_products
    if dtype not in (None, "bfloat16"):
        raise ValueError(f'Expected `dtype` to be "bfloat16" or None. Received: dtype={dtype!r}')
    _dtype_of_products = dtype


def pointwise_product(inputs: Any, kernel: Any, training: bool = False) -> Any:
    """Multiplies every frame by a matrix.

    Args:
        inputs: tensor (batch, time, channels).
        kernel: tensor (channels, filters).
        training: bool. Whether a gradient will be taken.

    Returns:
        A tensor (batch, time, filters).
    """
    if not training:
        return _product(inputs, kernel)
    dtype = _dtype_of_products or inputs.dtype
    multiply = _product_as_one_matrix if keras.backend.backend() == "tensorflow" else _product
    product = multiply(ops.cast(inputs, dtype), ops.cast(kernel, dtype))
    return ops.cast(product, inputs.dtype)


def _product(inputs: Any, kernel: Any) -> Any:
    return ops.einsum("btc,cf->btf", inputs, kernel)  # one operator in LiteRT


def _product_as_one_matrix(inputs: Any, kernel: Any) -> Any:
    """TensorFlow's gradient of the product above is a matrix per utterance, then their sum."""
    shape = ops.shape(inputs)
    frames = ops.reshape(inputs, (-1, shape[-1]))  # (batch * time, channels)
    return ops.reshape(ops.matmul(frames, kernel), (shape[0], shape[1], kernel.shape[-1]))
