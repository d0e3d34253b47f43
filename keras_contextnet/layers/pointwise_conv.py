"""Pointwise convolution and batch norm: P(x) of the paper."""

from __future__ import annotations

from typing import Any

import keras

from keras_contextnet.layers.masked_batch_norm import MaskedBatchNormalization
from keras_contextnet.layers.masking import (
    check_sequence,
    stride_length,
    stride_mask,
    zero_padding,
)
from keras_contextnet.layers.normalized_product import normalized_product


@keras.saving.register_keras_serializable(package="keras_contextnet")
class PointwiseConvNorm(keras.layers.Layer):
    """A convolution of kernel 1 without bias, then batch norm: the residual of `ContextBlock`.

    Args:
        filters: int. Output channels.
        strides: int, frames. Keeps every `strides`-th frame.
        batch_norm_momentum: float. Weight of the past in the moving averages.
        kernel_regularizer: Keras regularizer of the kernel.
        **kwargs: of `keras.layers.Layer`.

    Call arguments:
        inputs: tensor (batch, time, channels).
        mask: optional boolean tensor (batch, time), true for real frames.
        training: bool. Whether batch norm uses the batch's statistics.
        zero_padded: bool. Says that inputs are zero outside the mask.

    Returns:
        A tensor (batch, ceil(time / strides), filters), zero outside the mask.

    Example:

    ```python
    import keras
    from keras_contextnet.layers import PointwiseConvNorm

    print(PointwiseConvNorm(256, strides=2)(keras.Input((None, 128))).shape)  # (None, None, 256)
    ```

    Source: ContextNet (arXiv 2005.03191), section 2.2.3.
    """

    def __init__(
        self,
        filters: int,
        strides: int = 1,
        batch_norm_momentum: float = 0.9,
        kernel_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.strides = strides
        self.batch_norm_momentum = batch_norm_momentum
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.supports_masking = True
        self.batch_norm = MaskedBatchNormalization(
            momentum=batch_norm_momentum, name="batch_norm", dtype=self.dtype_policy
        )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        check_sequence(type(self).__name__, input_shape)
        self.kernel = self.add_weight(
            name="kernel",
            shape=(input_shape[-1], self.filters),
            regularizer=self.kernel_regularizer,
        )
        self.batch_norm.build((*input_shape[:-1], self.filters))

    def call(
        self,
        inputs: Any,
        mask: Any | None = None,
        training: bool = False,
        zero_padded: bool = False,
    ) -> Any:
        mask = stride_mask(mask, self.strides)
        x = inputs if self.strides == 1 else inputs[:, :: self.strides]
        x = zero_padding(x, mask, done=zero_padded)  # (batch, ceil(time / strides), in)
        return normalized_product(x, self.kernel, self.batch_norm, mask, training)

    def compute_mask(self, inputs: Any, mask: Any | None = None) -> Any | None:
        return stride_mask(mask, self.strides)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], stride_length(input_shape[1], self.strides), self.filters)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "strides": self.strides,
            "batch_norm_momentum": self.batch_norm_momentum,
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }
