"""A kernel-1 convolution: every frame times one matrix."""

from __future__ import annotations

import functools
from typing import Any

import keras
from keras import ops

_dtype_of_products: str | None = None


def set_product_dtype(dtype: str | None) -> None:
    """Sets what training multiplies in, in convolutions of kernel size 1 and in the joint network.

    Some CPUs with instructions for bfloat16 multiply matrices several times faster in it, others
    slower: `benchmarks/train_step.py` tells. TensorFlow's elementwise kernels are slower in it than
    in float32, so that a policy of "mixed_bfloat16" loses more than it gains. With this alone,
    numbers are rounded to bfloat16, their products summed in float32, and sums rounded. On CPUs
    without such instructions TensorFlow would cut sums off, always towards zero, so there the
    rounded numbers are multiplied in float32: with the same result, and no faster. Inference, and
    with it every exported file, is not touched. Like `keras.config`'s settings it holds for the
    process, and for what is compiled from then on.

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


@functools.cache
def _cuts_bfloat16() -> bool:
    """Whether the backend's products in bfloat16 are cut off instead of rounded."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    with tf.init_scope():  # whatever graph is being traced
        # Three quarters of the way from 1 to the next number.
        terms = tf.constant([[1.0, 1.5 * 2**-8] + 62 * [0.0]] * 64, tf.bfloat16)
        sums = tf.matmul(terms, tf.ones((64, 64), tf.bfloat16))
        return bool(tf.reduce_any(sums == 1.0))


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
    rounded_to = _dtype_of_products or inputs.dtype
    multiplied_in = "float32" if _dtype_of_products and _cuts_bfloat16() else rounded_to
    rounded, kernel = (ops.cast(ops.cast(x, rounded_to), multiplied_in) for x in (inputs, kernel))
    return ops.cast(ops.cast(product_of_rows(rounded, kernel), rounded_to), inputs.dtype)


def product_of_rows(inputs: Any, kernel: Any) -> Any:
    """Multiplies the last axis by a matrix, whose gradient is one product on every backend."""
    if keras.backend.backend() != "tensorflow" or len(inputs.shape) == 2:
        return ops.matmul(inputs, kernel)
    # The gradient would be a matrix for each row of the first axis, then a sum.
    rows = ops.reshape(inputs, (-1, ops.shape(inputs)[-1]))
    return ops.reshape(ops.matmul(rows, kernel), (*ops.shape(inputs)[:-1], kernel.shape[-1]))
