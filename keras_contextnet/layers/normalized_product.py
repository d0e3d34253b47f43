"""A kernel-1 convolution and batch norm, which training does on the same rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keras import ops

from keras_contextnet.layers.pointwise_product import pointwise_product, product_for_training

if TYPE_CHECKING:
    from keras_contextnet.layers.masked_batch_norm import MaskedBatchNormalization


def normalized_product(
    inputs: Any,
    kernel: Any,
    batch_norm: MaskedBatchNormalization,
    mask: Any | None = None,
    training: bool = False,
) -> Any:
    """Multiplies every frame by a matrix and normalises.

    Args:
        inputs: tensor (batch, time, channels), finite outside the mask.
        kernel: tensor (channels, filters).
        batch_norm: the layer that normalises.
        mask: optional boolean tensor (batch, time), true for real frames.
        training: bool. Whether batch norm uses the batch's statistics.

    Returns:
        A tensor (batch, time, filters), zero outside the mask.
    """
    if not training or batch_norm.activates_apart:
        x = pointwise_product(inputs, kernel, training)
        return batch_norm(x, mask=mask, training=training, finite_padding=True)
    # Otherwise each would reshape to rows and back, and so would their gradients.
    rows = ops.reshape(inputs, (-1, inputs.shape[-1]))  # (batch * time, channels)
    rows = product_for_training(rows, kernel)
    rows = batch_norm(rows, mask=mask, training=True, finite_padding=True)
    return ops.reshape(rows, (*ops.shape(inputs)[:-1], kernel.shape[-1]))
