"""Depthwise-separable convolution, batch norm and activation: f(x) of the paper."""

from __future__ import annotations

from typing import Any

import keras

from keras_contextnet.layers.depthwise_conv import depthwise_conv
from keras_contextnet.layers.masked_batch_norm import MaskedBatchNormalization
from keras_contextnet.layers.masking import (
    check_sequence,
    stride_length,
    stride_mask,
    zero_padding,
)
from keras_contextnet.layers.normalized_product import normalized_product
from keras_contextnet.layers.pointwise_product import pointwise_product


@keras.saving.register_keras_serializable(package="keras_contextnet")
class SeparableConvBlock(keras.layers.Layer):
    """`activation(batch_norm(separable_conv(x)))` over time.

    The padding is explicit, `(kernel_size - 1) // 2` zeros before the first frame for "same" and
    `kernel_size - 1` for "causal", so that output frame `i` looks at input frame `i * strides`
    whatever the input's length, and an utterance padded in a batch gives what it gives alone.

    Args:
        filters: int. Output channels.
        kernel_size: int, frames. Odd for "same" padding.
        strides: int, frames. Output frames are `ceil(time / strides)`.
        padding: "same", or "causal" (no frame sees a later one).
        activation: Keras activation, its name, or None for a linear output.
        use_batch_norm: bool. Without it the pointwise convolution has a bias.
        batch_norm_momentum: float. Weight of the past in the moving averages.
        kernel_initializer: Keras initializer of the pointwise kernel.
        kernel_regularizer: Keras regularizer of both kernels.
        **kwargs: of `keras.layers.Layer`.

    Call arguments:
        inputs: tensor (batch, time, channels).
        mask: optional boolean tensor (batch, time), true for real frames.
        training: bool. Whether batch norm uses the batch's statistics.
        zero_padded: bool. Says that inputs are zero outside the mask, as those of this layer are,
            which saves the pass that makes them so.

    Returns:
        A tensor (batch, ceil(time / strides), filters), zero outside the mask.

    Raises:
        ValueError: for a non-positive size, an unknown `padding`, or an even `kernel_size` with
            "same" padding.

    Example:

    ```python
    import keras
    from keras_contextnet.layers import SeparableConvBlock

    inputs = keras.Input((None, 80))
    outputs = SeparableConvBlock(256, kernel_size=5, strides=2)(inputs)
    print(keras.Model(inputs, outputs).output_shape)  # (None, None, 256)
    ```

    A 3 x 3 convolution from 2 to 4 channels has 72 weights; its depthwise-separable form has 26.

    Source: ContextNet (arXiv 2005.03191), section 2.2.3, `f(x) = Act(BN(Conv(x)))`.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 5,
        strides: int = 1,
        padding: str = "same",
        activation: Any = "swish",
        use_batch_norm: bool = True,
        batch_norm_momentum: float = 0.9,
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for argument, value in (
            ("filters", filters),
            ("kernel_size", kernel_size),
            ("strides", strides),
        ):
            if not isinstance(value, int) or value < 1:
                raise ValueError(
                    f"Expected `{argument}` to be a positive integer. Received: {argument}={value}"
                )
        if padding not in ("same", "causal"):
            raise ValueError(
                f'Expected `padding` to be "same" or "causal". Received: padding={padding!r}'
            )
        if padding == "same" and kernel_size % 2 == 0:
            raise ValueError(
                'Expected an odd `kernel_size` with padding="same", so that the kernel has a '
                f'middle frame. Received: kernel_size={kernel_size}. Use padding="causal" for an '
                "even one."
            )
        self.filters = filters
        self.kernel_size = kernel_size
        self.strides = strides
        self.padding = padding
        self.activation = keras.activations.get(activation)
        self.use_batch_norm = use_batch_norm
        self.batch_norm_momentum = batch_norm_momentum
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.supports_masking = True
        self.batch_norm = (
            MaskedBatchNormalization(
                momentum=batch_norm_momentum,
                activation=self.activation,
                name="batch_norm",
                dtype=self.dtype_policy,
            )
            if use_batch_norm
            else None
        )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        check_sequence(type(self).__name__, input_shape)
        channels = input_shape[-1]
        self.depthwise_kernel = self.add_weight(
            name="depthwise_kernel",
            shape=(self.kernel_size, channels),
            initializer=keras.initializers.RandomUniform(
                -(self.kernel_size**-0.5), self.kernel_size**-0.5
            ),
            regularizer=self.kernel_regularizer,
        )
        self.pointwise_kernel = self.add_weight(
            name="pointwise_kernel",
            shape=(channels, self.filters),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
        )
        if self.batch_norm is None:
            self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros")
        else:
            self.batch_norm.build((*input_shape[:-1], self.filters))

    def call(
        self,
        inputs: Any,
        mask: Any | None = None,
        training: bool = False,
        zero_padded: bool = False,
    ) -> Any:
        before = self.kernel_size - 1 if self.padding == "causal" else (self.kernel_size - 1) // 2
        x = zero_padding(inputs, mask, done=zero_padded)
        x = depthwise_conv(x, self.depthwise_kernel, self.strides, before)
        mask = stride_mask(mask, self.strides)
        # (batch, ceil(time / strides), filters)
        if self.batch_norm is not None:
            return normalized_product(x, self.pointwise_kernel, self.batch_norm, mask, training)
        x = pointwise_product(x, self.pointwise_kernel, training)
        return zero_padding(self.activation(x + self.bias), mask)

    def compute_mask(self, inputs: Any, mask: Any | None = None) -> Any | None:
        return stride_mask(mask, self.strides)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], stride_length(input_shape[1], self.strides), self.filters)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "activation": keras.activations.serialize(self.activation),
            "use_batch_norm": self.use_batch_norm,
            "batch_norm_momentum": self.batch_norm_momentum,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }
