"""ContextNet's encoder: 23 blocks that turn features into one vector every 80 ms."""

from __future__ import annotations

from typing import Any

import keras

from keras_contextnet.layers import ContextBlock
from keras_contextnet.layers.masking import stride_length, stride_mask

# Table 1 of the paper: (first block, last block, convolutions, channels at alpha 1).
_STAGES = ((0, 0, 1, 256), (1, 10, 5, 256), (11, 21, 5, 512), (22, 22, 1, 640))
_STRIDED_BLOCKS = (3, 7, 14)


def paper_blocks(alpha: float = 1.0) -> list[dict[str, Any]]:
    """Returns table 1 of the paper: the `ContextBlock` arguments of its 23 blocks.

    Args:
        alpha: float. Multiplies every number of channels; the result is rounded to an int.

    Returns:
        A list of dicts with `filters`, `num_convs`, `strides` and `residual`.

    Raises:
        ValueError: for an `alpha` that leaves a block without channels.

    Example:

    ```python
    from keras_contextnet.models.encoder import paper_blocks

    blocks = paper_blocks(alpha=0.5)
    print(len(blocks), blocks[3])
    ```

    Source: ContextNet (arXiv 2005.03191), table 1.
    """
    if not alpha > 0 or round(256 * alpha) < 1:
        raise ValueError(f"Expected `alpha` to be a positive width factor. Received: alpha={alpha}")
    return [
        {
            "filters": round(channels * alpha),
            "num_convs": convs,
            "strides": 2 if index in _STRIDED_BLOCKS else 1,
            "residual": convs > 1,
        }
        for first, last, convs, channels in _STAGES
        for index in range(first, last + 1)
    ]


@keras.saving.register_keras_serializable(package="keras_contextnet")
class ContextNetEncoder(keras.Model):
    """The convolutional encoder of ContextNet, a functional Keras model.

    Args:
        alpha: float. Width factor of the paper's blocks: 0.5 is small, 1 medium, 2 large. Ignored
            where `blocks` are given.
        blocks: optional list of dicts, the `ContextBlock` arguments of each block, in place of the
            paper's 23; `paper_blocks` returns those.
        num_features: int. Feature bands that come in.
        kernel_size: int, frames.
        padding: "same", or "causal" (no output looks at a later frame).
        activation: Keras activation or its name.
        squeeze_excite_conv: bool. The convolution at the entry of squeeze-and-excitation, without
            which the paper's published sizes are not met.
        squeeze_excite_reduction: int. Bottleneck of squeeze-and-excitation is channels / reduction.
        squeeze_excite_context: "global", or the number of frames that it looks at.
        squeeze_excite_bias: bool. Whether squeeze-and-excitation's dense layers have biases.
        activate_last_conv: bool. Whether the activation comes before squeeze-and-excitation; see
            `ContextBlock`.
        dropout: float in [0, 1). Dropout after every block.
        conv_dropout: float in [0, 1). Dropout between a block's convolutions.
        batch_norm_momentum: float. Weight of the past in batch norm's moving averages.
        kernel_regularizer: Keras regularizer of the convolutions' kernels.
        **kwargs: of `keras.Model`, `name` and `dtype` among them.

    Call arguments:
        inputs: tensor (batch, frames, num_features).
        mask: optional boolean tensor (batch, frames), true for real frames.
        training: bool. For batch norm and dropout.

    Returns:
        A tensor (batch, ceil(frames / time_reduction), output_channels).

    Example:

    ```python
    import numpy as np
    import keras_contextnet

    encoder = keras_contextnet.ContextNetEncoder(alpha=0.125)
    print(encoder(np.zeros((1, 100, 80), "float32")).shape)  # (1, 13, 80)
    print(encoder.get_layer("block_3").output.shape)  # (None, None, 32)
    ```

    Source: ContextNet (arXiv 2005.03191), section 2.2 and table 1.
    """

    def __init__(
        self,
        alpha: float = 1.0,
        blocks: list[dict[str, Any]] | None = None,
        num_features: int = 80,
        kernel_size: int = 5,
        padding: str = "same",
        activation: Any = "swish",
        squeeze_excite_conv: bool = True,
        squeeze_excite_reduction: int = 8,
        squeeze_excite_context: str | int = "global",
        squeeze_excite_bias: bool = True,
        activate_last_conv: bool = True,
        dropout: float = 0.0,
        conv_dropout: float = 0.0,
        batch_norm_momentum: float = 0.9,
        kernel_regularizer: Any = None,
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        blocks = paper_blocks(alpha) if blocks is None else blocks
        if not blocks:
            raise ValueError("Expected `blocks` to hold at least one block. Received: blocks=[]")
        shared = {
            "kernel_size": kernel_size,
            "padding": padding,
            "activation": activation,
            "squeeze_excite_conv": squeeze_excite_conv,
            "squeeze_excite_reduction": squeeze_excite_reduction,
            "squeeze_excite_context": squeeze_excite_context,
            "squeeze_excite_bias": squeeze_excite_bias,
            "activate_last_conv": activate_last_conv,
            "dropout": dropout,
            "conv_dropout": conv_dropout,
            "batch_norm_momentum": batch_norm_momentum,
            "kernel_regularizer": kernel_regularizer,
            "dtype": dtype,
        }
        inputs = keras.Input((None, num_features), name="features")
        x = inputs  # (batch, frames, num_features)
        for index, block in enumerate(blocks):
            x = ContextBlock(**{**shared, **block}, name=f"block_{index}")(x)
        super().__init__(inputs=inputs, outputs=x, name=name, **kwargs)
        if dtype is not None:
            self.dtype_policy = keras.dtype_policies.get(dtype)
        self.supports_masking = True

        self.alpha = alpha
        self.num_features = num_features
        self.output_channels = x.shape[-1]
        self._blocks = blocks
        self._shared = shared

    @property
    def blocks(self) -> list[ContextBlock]:
        """The blocks, first to last."""
        return [self.get_layer(f"block_{index}") for index in range(len(self._blocks))]

    @property
    def time_reduction(self) -> int:
        """Input frames per output frame: 8 for the paper's blocks."""
        reduction = 1
        for block in self.blocks:
            reduction *= block.strides
        return reduction

    def output_length(self, length: Any) -> Any:
        """Returns how many output frames `length` input frames give; ints or int tensors."""
        return stride_length(length, self.time_reduction)

    def compute_mask(self, inputs: Any, mask: Any | None = None) -> Any | None:
        return stride_mask(mask, self.time_reduction)

    def get_config(self) -> dict[str, Any]:
        shared = dict(self._shared)
        shared["activation"] = keras.activations.serialize(
            keras.activations.get(shared["activation"])
        )
        shared["kernel_regularizer"] = keras.regularizers.serialize(
            keras.regularizers.get(shared["kernel_regularizer"])
        )
        return {
            "name": self.name,
            "trainable": self.trainable,
            **shared,
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
            "alpha": self.alpha,
            "blocks": self._blocks,
            "num_features": self.num_features,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> ContextNetEncoder:
        return cls(**config)
