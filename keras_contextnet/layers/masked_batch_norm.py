"""Batch normalisation whose statistics leave padding out."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_contextnet.layers.masking import check_sequence, zero_padding


@keras.saving.register_keras_serializable(package="keras_contextnet")
class MaskedBatchNormalization(keras.layers.Layer):
    """Batch normalisation over the real frames of a padded batch.

    The statistics are taken in float32 over every frame inside the mask, so that padding moves
    neither the batch's normalisation nor the moving averages. Frames outside the mask are
    transformed like the others; whoever reads them next masks them.

    Args:
        momentum: float in [0, 1). Weight of the past in the moving averages.
        epsilon: float. Added to the variance.
        **kwargs: of `keras.layers.Layer`.

    Call arguments:
        inputs: tensor (batch, time, channels).
        mask: optional boolean tensor (batch, time).
        training: bool. Normalise with the batch's statistics and update the moving ones. As
            everywhere in Keras, a layer with `trainable=False` uses the moving ones.

    Returns:
        A tensor (batch, time, channels) of the layer's compute dtype.

    Example:

    ```python
    import numpy as np
    from keras_contextnet.layers import MaskedBatchNormalization

    x = np.array([[[1.0], [3.0], [99.0]]], "float32")
    y = MaskedBatchNormalization()(x, mask=np.array([[True, True, False]]), training=True)
    print(np.round(np.asarray(y)[0, :2, 0], 2))  # [-1.  1.]
    ```

    Source: Ioffe and Szegedy, arXiv 1502.03167; the `BN` of ContextNet's section 2.2.3.
    """

    def __init__(self, momentum: float = 0.9, epsilon: float = 1e-3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0.0 <= momentum < 1.0:
            raise ValueError(f"Expected `momentum` in [0, 1). Received: momentum={momentum}")
        self.momentum = momentum
        self.epsilon = epsilon
        self.supports_masking = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        check_sequence(type(self).__name__, input_shape)
        shape = (input_shape[-1],)
        # autocast=False: half precision would round the statistics and their scale.
        self.gamma = self.add_weight(name="gamma", shape=shape, initializer="ones", autocast=False)
        self.beta = self.add_weight(name="beta", shape=shape, initializer="zeros", autocast=False)
        self.moving_mean = self.add_weight(
            name="moving_mean", shape=shape, initializer="zeros", trainable=False, autocast=False
        )
        self.moving_variance = self.add_weight(
            name="moving_variance", shape=shape, initializer="ones", trainable=False, autocast=False
        )

    def call(self, inputs: Any, mask: Any | None = None, training: bool = False) -> Any:
        x = ops.cast(inputs, "float32")
        if training and self.trainable:
            mean, variance = self._moments(x, mask)
            self._update_moving(self.moving_mean, mean)
            self._update_moving(self.moving_variance, variance)
        else:
            mean, variance = ops.convert_to_tensor(self.moving_mean), self.moving_variance
        scale = self.gamma * ops.rsqrt(variance + self.epsilon)  # (channels,)
        return ops.cast(x * scale + (self.beta - mean * scale), self.compute_dtype)

    def _moments(self, x: Any, mask: Any | None) -> tuple[Any, Any]:
        if mask is None:
            return ops.moments(x, axes=(0, 1))
        # Zeroed, not weighted with 0: what padding holds may be infinite or become so when squared.
        count = ops.maximum(ops.sum(ops.cast(mask, "float32")), 1.0)
        mean = ops.sum(zero_padding(x, mask), axis=(0, 1)) / count
        variance = ops.sum(zero_padding(ops.square(x - mean), mask), axis=(0, 1)) / count
        return mean, variance

    def _update_moving(self, moving: Any, batch: Any) -> None:
        moving.assign(moving * self.momentum + batch * (1.0 - self.momentum))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "momentum": self.momentum, "epsilon": self.epsilon}
