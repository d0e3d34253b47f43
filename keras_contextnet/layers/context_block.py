"""The block that ContextNet repeats: C(x) of the paper."""

from __future__ import annotations

from typing import Any

import keras

from keras_contextnet.layers.masking import (
    check_sequence,
    stride_length,
    stride_mask,
    zero_padding,
)
from keras_contextnet.layers.pointwise_conv import PointwiseConvNorm
from keras_contextnet.layers.separable_conv import SeparableConvBlock
from keras_contextnet.layers.squeeze_excite import SqueezeExcite1D


@keras.saving.register_keras_serializable(package="keras_contextnet")
class ContextBlock(keras.layers.Layer):
    """Separable convolutions, squeeze-and-excitation and a residual: one block of ContextNet.

    `activation(squeeze_excite(convs(x)) + residual(x))`. The first convolution changes the number
    of channels, the last one carries the stride, and the residual is a pointwise convolution with
    batch norm and the same stride. Without a residual the output is `squeeze_excite(convs(x))`.

    NVIDIA NeMo's blocks differ: `squeeze_excite_conv=False`, `squeeze_excite_bias=False` and
    `activate_last_conv=False`.

    Args:
        filters: int. Output channels.
        num_convs: int. Separable convolutions, 5 in most blocks of the paper.
        kernel_size: int, frames.
        strides: int, frames. Output frames are `ceil(time / strides)`.
        residual: bool. Off in the first and the last block of ContextNet.
        squeeze_excite_conv: bool. One more separable convolution at the entry of the
            squeeze-and-excitation module, as the paper's figure 2 draws it and its published sizes
            require; figure 3 leaves it out.
        squeeze_excite_reduction: int. Bottleneck of squeeze-and-excitation is filters / reduction.
        squeeze_excite_context: "global" or an int number of frames, see `SqueezeExcite1D`.
        squeeze_excite_bias: bool. Whether squeeze-and-excitation's dense layers have biases.
        activate_last_conv: bool. Off, squeeze-and-excitation reads the last convolution's batch
            norm, and the activation follows it even where there is no residual.
        padding: "same", or "causal", which makes the squeeze-and-excitation causal too.
        activation: Keras activation or its name.
        dropout: float in [0, 1). Dropout rate of the block's output.
        conv_dropout: float in [0, 1). Dropout rate between the convolutions.
        batch_norm_momentum: float. Weight of the past in the moving averages.
        kernel_regularizer: Keras regularizer of the convolutions' kernels.
        **kwargs: of `keras.layers.Layer`.

    Call arguments:
        inputs: tensor (batch, time, channels).
        mask: optional boolean tensor (batch, time), true for real frames.
        training: bool. For batch norm and dropout.

    Returns:
        A tensor (batch, ceil(time / strides), filters).

    Raises:
        ValueError: for a non-positive `num_convs`, and whatever the parts raise.

    Example:

    ```python
    import keras
    from keras_contextnet.layers import ContextBlock

    inputs = keras.Input((None, 80))
    outputs = ContextBlock(128, num_convs=5, strides=2)(inputs)
    print(outputs.shape)  # (None, None, 128)
    ```

    Source: ContextNet (arXiv 2005.03191), section 2.2.3 and figures 2 and 3.
    """

    def __init__(
        self,
        filters: int,
        num_convs: int = 5,
        kernel_size: int = 5,
        strides: int = 1,
        residual: bool = True,
        squeeze_excite_conv: bool = True,
        squeeze_excite_reduction: int = 8,
        squeeze_excite_context: str | int = "global",
        squeeze_excite_bias: bool = True,
        activate_last_conv: bool = True,
        padding: str = "same",
        activation: Any = "swish",
        dropout: float = 0.0,
        conv_dropout: float = 0.0,
        batch_norm_momentum: float = 0.9,
        kernel_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(num_convs, int) or num_convs < 1:
            raise ValueError(
                f"Expected `num_convs` to be a positive integer. Received: num_convs={num_convs}"
            )
        self.filters = filters
        self.num_convs = num_convs
        self.kernel_size = kernel_size
        self.strides = strides
        self.residual = residual
        self.squeeze_excite_conv = squeeze_excite_conv
        self.squeeze_excite_reduction = squeeze_excite_reduction
        self.squeeze_excite_context = squeeze_excite_context
        self.squeeze_excite_bias = squeeze_excite_bias
        self.activate_last_conv = activate_last_conv
        self.padding = padding
        self.activation = keras.activations.get(activation)
        self.dropout_rate = dropout
        self.conv_dropout_rate = conv_dropout
        self.batch_norm_momentum = batch_norm_momentum
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.supports_masking = True

        self.convs = self._make_convs()
        self.conv_dropout = keras.layers.Dropout(
            conv_dropout, dtype=self.dtype_policy, name="conv_dropout"
        )
        self.squeeze_excite = SqueezeExcite1D(
            reduction=squeeze_excite_reduction,
            activation=self.activation,
            use_bias=squeeze_excite_bias,
            context=squeeze_excite_context,
            causal=padding == "causal",
            dtype=self.dtype_policy,
            name="squeeze_excite",
        )
        self.projection = (
            PointwiseConvNorm(
                filters,
                strides=strides,
                batch_norm_momentum=batch_norm_momentum,
                kernel_regularizer=self.kernel_regularizer,
                dtype=self.dtype_policy,
                name="projection",
            )
            if residual
            else None
        )
        self.dropout = keras.layers.Dropout(dropout, dtype=self.dtype_policy, name="dropout")

    def _make_convs(self) -> list[SeparableConvBlock]:
        names = [f"conv_{index}" for index in range(self.num_convs)]
        strided = names[-1]
        if self.squeeze_excite_conv:
            names.append("squeeze_excite_conv")
        linear = None if self.activate_last_conv else names[-1]
        return [
            SeparableConvBlock(
                self.filters,
                kernel_size=self.kernel_size,
                strides=self.strides if name == strided else 1,
                padding=self.padding,
                activation=None if name == linear else self.activation,
                batch_norm_momentum=self.batch_norm_momentum,
                kernel_regularizer=self.kernel_regularizer,
                dtype=self.dtype_policy,
                name=name,
            )
            for name in names
        ]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        check_sequence(type(self).__name__, input_shape)
        shape = input_shape
        for conv in self.convs:
            conv.build(shape)
            shape = conv.compute_output_shape(shape)
            self.conv_dropout.build(shape)
        self.squeeze_excite.build(shape)
        if self.projection is not None:
            self.projection.build(input_shape)
        self.dropout.build(shape)

    def call(self, inputs: Any, mask: Any | None = None, training: bool = False) -> Any:
        # From here on all layers see zeros in the padding and leave them there.
        x = inputs = zero_padding(inputs, mask)
        x_mask = mask
        for conv in self.convs:
            if conv is not self.convs[0]:
                x = self.conv_dropout(x, training=training)
            x = conv(x, mask=x_mask, training=training, zero_padded=True)
            x_mask = stride_mask(x_mask, conv.strides)
        # (batch, ceil(time / strides), filters)
        x = self.squeeze_excite(x, mask=x_mask, zero_padded=True)
        if self.projection is not None:
            x = x + self.projection(inputs, mask=mask, training=training, zero_padded=True)
        if self.projection is not None or not self.activate_last_conv:
            x = self.activation(x)
        return self.dropout(x, training=training)

    def compute_mask(self, inputs: Any, mask: Any | None = None) -> Any | None:
        return stride_mask(mask, self.strides)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], stride_length(input_shape[1], self.strides), self.filters)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "num_convs": self.num_convs,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "residual": self.residual,
            "squeeze_excite_conv": self.squeeze_excite_conv,
            "squeeze_excite_reduction": self.squeeze_excite_reduction,
            "squeeze_excite_context": self.squeeze_excite_context,
            "squeeze_excite_bias": self.squeeze_excite_bias,
            "activate_last_conv": self.activate_last_conv,
            "padding": self.padding,
            "activation": keras.activations.serialize(self.activation),
            "dropout": self.dropout_rate,
            "conv_dropout": self.conv_dropout_rate,
            "batch_norm_momentum": self.batch_norm_momentum,
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }
