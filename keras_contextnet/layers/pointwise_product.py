"""A kernel-1 convolution: every frame times one matrix."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

_dtype_of_products: str | None = None


def set_product_dtype(dtype: str | None) -> None:
    """Sets what training multiplies in, in convolutions of kernel size 1 and in the joint network.

    CPUs that have instructions for bfloat16 multiply matrices several times faster in it, whereas
    TensorFlow's elementwise kernels are slower in it than in float32, so that a policy of
    "mixed_bfloat16" loses more there than it gains. With this alone, such CPUs still sum in
    float32, and round once; on one without, TensorFlow's sums of 64 products were two steps of
    bfloat16 off. Inference, and with it every exported file, is not touched. Like
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
        return ops.einsum("btc,cf->btf", inputs, kernel)  # one operator in LiteRT
    return product_for_training(inputs, kernel)


def product_for_training(inputs: Any, kernel: Any) -> Any:
    """Multiplies the last axis by a matrix, in what `set_product_dtype` says."""
    dtype = _dtype_of_products or inputs.dtype
    rows = ops.cast(inputs, dtype)
    on_tensorflow = keras.backend.backend() == "tensorflow"
    if on_tensorflow:  # whose gradient would be a matrix for each row of the first axis, then a sum
        rows = ops.reshape(rows, (-1, ops.shape(inputs)[-1]))
    product = ops.cast(ops.matmul(rows, ops.cast(kernel, dtype)), inputs.dtype)
    if on_tensorflow:
        product = ops.reshape(product, (*ops.shape(inputs)[:-1], kernel.shape[-1]))
    return product
